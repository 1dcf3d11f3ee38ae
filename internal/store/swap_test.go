package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// A part of the contract.
type part struct {
	name string
	run  func(*testing.T, messageStore)
}

// swaps are the parts that limited messages need.
var swaps = []part{
	{"keeps a text beside its record", keepsText},
	{"swaps what it was shown only", swapsWhatItWasShown},
	{"keeps the time of a record", keepsTimeOfRecord},
	{"ends a text at the given time", endsText},
	{"one of many swaps wins", oneOfManySwapsWins},
}

// recordAndText returns a record and the text beside it.
func recordAndText(t *testing.T, s messageStore, key message.Key) (string, []byte) {
	t.Helper()
	record, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	text, err := s.Swap(t.Context(), key, bytes.Clone(record), bytes.Clone(record), message.KeepText)
	if err != nil {
		t.Fatalf("Swap by the same record: %v", err)
	}
	return string(record), text
}

// mustSwap swaps a record.
func mustSwap(t *testing.T, s messageStore, key message.Key, old, record string, life message.TextLife) {
	t.Helper()
	if _, err := s.Swap(t.Context(), key, []byte(old), []byte(record), life); err != nil {
		t.Fatalf("Swap of %q by %q: %v", old, record, err)
	}
}

func keepsText(t *testing.T, s messageStore) {
	for _, text := range [][]byte{nil, {}, []byte("x"), randomBytes(256 << 10)} {
		key := randomKey()
		if err := s.Put(t.Context(), key, []byte("record"), bytes.Clone(text), time.Hour); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			record, got := recordAndText(t, s, key)
			if record != "record" || !bytes.Equal(got, text) || (got == nil) != (text == nil) {
				t.Errorf("got %q and %d bytes, nil %v, want %d bytes", record, len(got), got == nil, len(text))
			}
			wantError(t, "second Put", s.Put(t.Context(), key, []byte("second"), []byte("text"), time.Hour), message.ErrExists)
		}
	}
}

func swapsWhatItWasShown(t *testing.T, s messageStore) {
	key := randomKey()
	_, err := s.Swap(t.Context(), key, []byte("old"), []byte("new"), message.KeepText)
	wantError(t, "Swap of nothing", err, message.ErrConflict)
	_, err = s.Swap(t.Context(), key, nil, nil, message.KeepText)
	wantError(t, "Swap of nothing by nothing", err, message.ErrConflict)
	if err := s.Put(t.Context(), key, []byte("old"), []byte("text"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"", "ol", "older", "OLD"} {
		text, err := s.Swap(t.Context(), key, []byte(other), []byte("new"), message.DropText)
		wantError(t, "Swap of "+other, err, message.ErrConflict)
		if text != nil {
			t.Errorf("Swap of %q returned %q", other, text)
		}
	}
	for _, step := range []struct {
		record, next string
		text         string // beside record
		life         message.TextLife
	}{
		{"old", "old", "text", message.KeepText},
		{"old", "a longer record", "text", message.KeepText},
		{"a longer record", "n", "text", message.DropText},
		{"n", "m", "", message.DropText},
		{"m", "m", "", message.KeepText},
	} {
		text, err := s.Swap(t.Context(), key, []byte(step.record), []byte(step.next), step.life)
		if err != nil || string(text) != step.text || (text == nil) != (step.text == "") {
			t.Errorf("Swap of %q by %q: got %q and %v, want %q", step.record, step.next, text, err, step.text)
		}
		if record, err := s.Get(t.Context(), key); err != nil || string(record) != step.next {
			t.Errorf("Get after that: got %q and %v, want %q", record, err, step.next)
		}
	}
}

func keepsTimeOfRecord(t *testing.T, s messageStore) {
	key := randomKey()
	start := time.Now()
	if err := s.Put(t.Context(), key, []byte("old"), []byte("text"), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(t.Context(), key, []byte("old"), []byte("new"), message.KeepText); err != nil && time.Since(start) < 1900*time.Millisecond {
		t.Fatal(err)
	}
	eventually(t, "the record is gone", func() error {
		if _, err := s.Get(t.Context(), key); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
	// The file counts in milliseconds, and Redis reads its clock a few times a second.
	if took := time.Since(start); took < 1900*time.Millisecond {
		t.Errorf("the record was gone after %v, want 2 s", took)
	}
}

func endsText(t *testing.T, s messageStore) {
	key := randomKey()
	if err := s.Put(t.Context(), key, []byte("old"), []byte("text"), time.Hour); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	mustSwap(t, s, key, "old", "new", message.TextLife(time.Second))
	if _, text := recordAndText(t, s, key); text == nil && time.Since(start) < 900*time.Millisecond {
		t.Error("the text is gone at once")
	}
	if _, ok := s.(*store.Redis); ok { // the file's sweeper has a test of its own
		eventually(t, "the text is gone", func() error {
			if _, text := recordAndText(t, s, key); text != nil {
				return fmt.Errorf("%d bytes", len(text))
			}
			return nil
		})
	}
	if record, err := s.Get(t.Context(), key); err != nil || string(record) != "new" {
		t.Errorf("the record after that: %q, %v", record, err)
	}
}

func oneOfManySwapsWins(t *testing.T, s messageStore) {
	key := randomKey()
	if err := s.Put(t.Context(), key, []byte("0"), nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 50 {
		wg.Go(func() {
			err := message.ErrUnavailable // until a busy machine finds the time
			for errors.Is(err, message.ErrUnavailable) && t.Context().Err() == nil {
				_, err = s.Swap(t.Context(), key, []byte("0"), fmt.Append(nil, i+1), message.KeepText)
			}
			if err == nil {
				won.Add(1)
				return
			}
			wantError(t, "Swap", err, message.ErrConflict)
		})
	}
	wg.Wait()
	if record, err := s.Get(t.Context(), key); won.Load() > 1 || err != nil || string(record) == "0" {
		t.Errorf("%d swaps of the same record succeeded, and it is %q, %v", won.Load(), record, err)
	}
}
