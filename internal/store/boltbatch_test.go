package store

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Changes that come while a commit is on its way to the disk share the next one.
func TestBoltCommitsForManyAtOnce(t *testing.T) {
	b, err := OpenBolt(filepath.Join(t.TempDir(), "messages.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	const changes = 64
	writing, goOn := make(chan struct{}), make(chan struct{})
	transactions := make(chan int, changes)
	var all sync.WaitGroup
	submit := func(apply func(*bolt.Tx) error) {
		all.Go(func() {
			if err := b.change(t.Context(), 1, 0, apply); err != nil {
				t.Error(err)
			}
		})
	}
	submit(func(*bolt.Tx) error {
		close(writing)
		<-goOn
		return nil
	})
	<-writing
	for range changes {
		submit(func(tx *bolt.Tx) error {
			transactions <- tx.ID()
			return nil
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for stacks := make([]byte, 1<<20); ; <-tick.C {
		if now := stacks[:runtime.Stack(stacks, true)]; bytes.Count(now, []byte("store.await[")) > changes {
			break // all wait for the writer, the first change included
		}
	}
	close(goOn)
	all.Wait()
	close(transactions)
	seen := make(map[int]int)
	for id := range transactions {
		seen[id]++
	}
	if len(seen) != 1 {
		t.Errorf("%d changes that waited were made in the transactions %v, want one", changes, seen)
	}
}
