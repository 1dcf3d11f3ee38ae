package main

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A start at which messages have expired by the clock, which may be wrong then,
// serves none of them and deletes none of them.
func TestAStartDeletesNothingByTheClock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "messages.db")
	s := start(t, "--store=file:"+path)
	c := client(1)
	created := s.must(c, http.MethodPost, "/?ttl=1", "brief")
	if created.status != http.StatusOK {
		t.Fatalf("POST: got %d", created.status)
	}
	link := created.header.Get("Location")
	expired := func() bool { status, _, err := s.get(c, link); return err == nil && status == http.StatusNotFound }
	eventually(t, time.Minute, "the message expires", expired)
	s.stop()

	s = start(t, "--store=file:"+path)
	for range 3 { // by then the store's writer has been at work
		if _, err := s.post(c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if !expired() {
		t.Error("the expired message is served")
	}
	if jumps, there := s.scrape()["store_clock_jumps_total"]; !there || jumps != 0 {
		t.Errorf("jumps of the clock: got %v, %t, want 0", jumps, there)
	}
	s.stop()

	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	err = errors.Join(db.View(func(tx *bolt.Tx) error {
		kept = tx.Bucket([]byte("messages")).Stats().KeyN
		return nil
	}), db.Close())
	if err != nil || kept != 4 {
		t.Errorf("the file has %d messages (%v), want all 4; %s", kept, err, strings.TrimSpace(s.stdout.String()))
	}
}
