package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// A record is one line of the journal: what has to be there from now on.
type record struct {
	ID      string `json:"message_id"`
	Message string `json:"message"`
}

// A tally counts outcomes of writing.
type tally struct {
	acked    int
	rejected map[int]int // answers other than 200, by their status
	refused  int         // no connection came about: nothing was accepted
	dropped  int         // a connection did, and no whole answer came back over it
	firstErr error       // of a dropped request
}

func (t *tally) String() string {
	return fmt.Sprintf("acked %d, rejected %v, refused %d, dropped %d", t.acked, t.rejected, t.refused, t.dropped)
}

// check returns an error if any of the outcomes has happened.
func (t *tally) check(outcomes []string) error {
	happened := map[string]bool{
		"":         false,
		"refused":  t.refused > 0,
		"dropped":  t.dropped > 0,
		"rejected": len(t.rejected) > 0,
	}
	for _, outcome := range outcomes {
		bad, known := happened[outcome]
		switch {
		case !known:
			return fmt.Errorf("no outcome is called %q", outcome)
		case bad:
			return fmt.Errorf("%s, which must not happen: %s: %w", outcome, t, t.firstErr)
		}
	}
	if t.acked == 0 {
		return errors.New("nothing was acknowledged, so nothing is proven")
	}
	return nil
}

// A writer is shared by the workers.
type writer struct {
	target  target
	mu      sync.Mutex // guards what follows
	journal *os.File
	tally   tally
}

// write posts messages until ctx ends. Requests under way then are finished: an
// outcome that was not awaited would be neither.
func write(ctx context.Context, to target, journal string, workers int, interval time.Duration) (*tally, error) {
	file, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the caller names it
	if err != nil {
		return &tally{}, err
	}
	w := &writer{target: to, journal: file, tally: tally{rejected: make(map[int]int)}}
	var group sync.WaitGroup
	errs := make([]error, workers+1)
	for i := range workers {
		group.Go(func() { errs[i] = w.work(ctx, to.client(i%2 == 1), interval) })
	}
	group.Wait()
	errs[workers] = file.Close()
	return &w.tally, errors.Join(errs...)
}

// work posts one message after the other. Its error is the journal's.
func (w *writer) work(ctx context.Context, client *http.Client, interval time.Duration) error {
	defer client.CloseIdleConnections()
	rest := time.NewTicker(interval)
	defer rest.Stop()
	for ctx.Err() == nil {
		if err := w.post(context.WithoutCancel(ctx), client); err != nil {
			return err
		}
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
	}
	return nil
}

func (w *writer) post(ctx context.Context, client *http.Client) error {
	want := record{Message: rand.Text()}
	body, err := json.Marshal(map[string]string{"message": want.Message})
	if err != nil {
		return err
	}
	var got record
	status, connected, err := w.target.do(ctx, client, http.MethodPost, "/", bytes.NewReader(body), &got)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil && !connected:
		w.tally.refused++
	case err != nil:
		w.tally.dropped++
		if w.tally.firstErr == nil {
			w.tally.firstErr = err
		}
	case status != http.StatusOK:
		w.tally.rejected[status]++
	default:
		w.tally.acked++
		want.ID = got.ID
		return json.NewEncoder(w.journal).Encode(want)
	}
	return nil
}
