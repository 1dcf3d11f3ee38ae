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

func keepsText(t *testing.T, s messageStore) {
	for _, text := range [][]byte{nil, {}, []byte("x"), randomBytes(256 << 10)} {
		key := randomKey()
		if err := s.Put(t.Context(), key, []byte("record"), bytes.Clone(text), time.Hour); err != nil {
			t.Fatal(err)
		}
		record, got, err := s.GetText(t.Context(), key)
		if err != nil || string(record) != "record" || !bytes.Equal(got, text) || (got == nil) != (text == nil) {
			t.Errorf("GetText: got %q, %d bytes, nil %v, %v, want %d bytes", record, len(got), got == nil, err, len(text))
		}
		if record, err := s.Get(t.Context(), key); err != nil || string(record) != "record" {
			t.Errorf("Get: got %q and %v, want the record", record, err)
		}
		wantError(t, "second Put", s.Put(t.Context(), key, []byte("second"), []byte("text"), time.Hour), message.ErrExists)
		if _, got, err := s.GetText(t.Context(), key); err != nil || !bytes.Equal(got, text) {
			t.Errorf("GetText after a second Put: got %d bytes and %v, want the first text", len(got), err)
		}
	}
	_, _, err := s.GetText(t.Context(), randomKey())
	wantError(t, "GetText of nothing", err, message.ErrNotFound)
}

func swapsWhatItWasShown(t *testing.T, s messageStore) {
	key := randomKey()
	wantError(t, "Swap of nothing", s.Swap(t.Context(), key, []byte("old"), []byte("new"), message.KeepText), message.ErrNotFound)
	if err := s.Put(t.Context(), key, []byte("old"), []byte("text"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"", "ol", "older", "OLD"} {
		wantError(t, "Swap of "+other, s.Swap(t.Context(), key, []byte(other), []byte("new"), message.DropText), message.ErrConflict)
	}
	if record, text, err := s.GetText(t.Context(), key); err != nil || string(record) != "old" || string(text) != "text" {
		t.Errorf("after conflicts: got %q, %q and %v", record, text, err)
	}
	if err := s.Swap(t.Context(), key, []byte("old"), []byte("a longer record"), message.KeepText); err != nil {
		t.Fatal(err)
	}
	if record, text, err := s.GetText(t.Context(), key); err != nil || string(record) != "a longer record" || string(text) != "text" {
		t.Errorf("after a swap: got %q, %q and %v", record, text, err)
	}
	if err := s.Swap(t.Context(), key, []byte("a longer record"), []byte("n"), message.DropText); err != nil {
		t.Fatal(err)
	}
	if record, text, err := s.GetText(t.Context(), key); err != nil || string(record) != "n" || text != nil {
		t.Errorf("after the text was dropped: got %q, %q and %v", record, text, err)
	}
	if err := s.Swap(t.Context(), key, []byte("n"), []byte("m"), message.DropText); err != nil {
		t.Errorf("dropping a text that is not there: %v", err)
	}
}

func keepsTimeOfRecord(t *testing.T, s messageStore) {
	key := randomKey()
	start := time.Now()
	if err := s.Put(t.Context(), key, []byte("old"), []byte("text"), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.Swap(t.Context(), key, []byte("old"), []byte("new"), message.KeepText); err != nil && time.Since(start) < 1900*time.Millisecond {
		t.Fatal(err)
	}
	eventually(t, "the record is gone", func() error {
		if _, _, err := s.GetText(t.Context(), key); err == nil {
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
	if err := s.Swap(t.Context(), key, []byte("old"), []byte("new"), message.TextLife(time.Second)); err != nil {
		t.Fatal(err)
	}
	_, text, err := s.GetText(t.Context(), key)
	if err != nil || text == nil && time.Since(start) < 900*time.Millisecond {
		t.Errorf("the text at once: %q, %v", text, err)
	}
	if _, ok := s.(*store.Redis); ok { // the file's sweeper has a test of its own
		eventually(t, "the text is gone", func() error {
			if _, text, err := s.GetText(t.Context(), key); err != nil || text != nil {
				return fmt.Errorf("%d bytes, %w", len(text), err)
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
				err = s.Swap(t.Context(), key, []byte("0"), fmt.Append(nil, i+1), message.KeepText)
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
