package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// read fetches every message of the journal and returns how many it has found.
func read(ctx context.Context, from target, journal string) (int, error) {
	file, err := os.Open(journal) //nolint:gosec // the caller names it
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	client := from.client(false)
	defer client.CloseIdleConnections()

	found, lost := 0, 0
	lines := json.NewDecoder(file)
	for {
		var want, got record
		if err := lines.Decode(&want); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return found, err
		}
		status, err := from.patientRead(ctx, client, want.ID, &got)
		if err != nil {
			return found, err
		}
		if status != http.StatusOK || got.Message != want.Message {
			lost++
			continue
		}
		found++
	}
	if lost > 0 {
		return found, fmt.Errorf("lost %d messages that were acknowledged", lost)
	}
	if found == 0 {
		return 0, errors.New("the journal is empty, so nothing is proven")
	}
	return found, nil
}

// patientRead reads a message, and again after a second where it is told that it reads
// too fast.
func (t target) patientRead(ctx context.Context, client *http.Client, id string, got *record) (int, error) {
	for {
		status, _, err := t.do(ctx, client, http.MethodGet, "/msg/"+id, nil, got)
		if err != nil || status != http.StatusTooManyRequests {
			return status, err
		}
		select {
		case <-ctx.Done():
			return status, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
