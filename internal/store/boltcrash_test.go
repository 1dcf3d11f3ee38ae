package store_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// A message for which Put returned nil survives a process that is killed in the middle
// of writing.
func TestBoltKeepsWhatItAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.db")
	var acknowledged []message.Key
	for range 3 { // the later ones start from what a killed one left
		process := startChild(t, "write", path)
		for range 400 {
			line := process.next()
			if line == nil {
				process.end("writing")
				t.Fatal("the process ended by itself")
			}
			acknowledged = append(acknowledged, parseKey(t, line[0]))
		}
		process.kill()
		for line := process.next(); line != nil; line = process.next() { // what it said before it died
			if len(line[0]) == 2*len(message.Key{}) {
				acknowledged = append(acknowledged, parseKey(t, line[0]))
			}
		}
	}
	b := openBolt(t, path)
	for i, key := range acknowledged {
		if got, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(got, valueOf(key)) {
			t.Fatalf("message %d of %d: got %d bytes and %v, want it whole", i, len(acknowledged), len(got), err)
		}
	}
}

// writeUntilKilled says each key once its value is stored.
func writeUntilKilled(path string, out io.Writer) {
	b, err := store.OpenBolt(path, quiet)
	if err != nil {
		_, _ = fmt.Fprintln(out, err)
		return
	}
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			for {
				key := randomKey()
				if err := b.Put(context.Background(), key, valueOf(key), nil, time.Hour); err != nil {
					panic(err)
				}
				_, _ = fmt.Fprintln(out, key.Hex()) // one write, so lines stay whole
			}
		})
	}
	writers.Wait()
}

// valueOf is a value that tells whether it is whole.
func valueOf(key message.Key) []byte { return bytes.Repeat(key[:], 1+int(key[0])) }

func parseKey(t testing.TB, s string) message.Key {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(message.Key{}) {
		t.Fatalf("not a key: %q", s)
	}
	return message.Key(b)
}
