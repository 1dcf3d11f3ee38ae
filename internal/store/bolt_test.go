package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

func TestBoltKeepsMessagesOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.db")
	keys := sampleKeys(50)
	for restart := range 3 {
		b := openThenClose(t, path, func(b *store.Bolt) {
			if restart == 0 {
				fill(b, keys)
			}
			for i, key := range keys {
				if got, err := b.Get(t.Context(), key); err != nil || len(got) != 20*i {
					t.Errorf("restart %d, message %d: got %d bytes and %v, want %d", restart, i, len(got), err, 20*i)
				}
			}
		})
		wantError(t, "Ping", b.Ping(t.Context()), message.ErrUnavailable)
	}
}

// openThenClose opens the store at path, uses it, and closes it.
func openThenClose(t testing.TB, path string, use func(*store.Bolt)) *store.Bolt {
	t.Helper()
	b, err := store.OpenBolt(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	use(b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBoltKeepsOthersOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "deep")
	path := filepath.Join(dir, "messages.db")
	openThenClose(t, path, func(*store.Bolt) {})
	wantMode(t, dir, fs.ModeDir|0o700)
	wantMode(t, filepath.Dir(dir), fs.ModeDir|0o700)
	wantMode(t, path, 0o600)

	for _, wide := range []fs.FileMode{0o644, 0o666, 0o640, 0o660, 0o604} {
		if err := os.Chmod(path, wide); err != nil {
			t.Fatal(err)
		}
		openThenClose(t, path, func(*store.Bolt) {})
		wantMode(t, path, 0o600)
	}
	// Another's directory, such as /tmp, stays as it is.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	openThenClose(t, path, func(*store.Bolt) {})
	wantMode(t, dir, fs.ModeDir|0o755)
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != want {
		t.Errorf("%s: mode %v, want %v", path, got, want)
	}
}

// What many writers store at once is stored, and so is its index.
func TestBoltStoresForManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.db")
	const writers, each = 64, 10
	openThenClose(t, path, func(b *store.Bolt) { writeAndRead(t, b, writers, each) })
	if stored := inside(t, path); stored.messages != writers*each || stored.index != writers*each {
		t.Errorf("stored %d messages and %d in the index, want %d", stored.messages, stored.index, writers*each)
	}
}

// counts are how many records a store's buckets have.
type counts struct{ messages, index int }

// inside returns what a store's file holds.
func inside(t testing.TB, path string) (c counts) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.View(func(tx *bolt.Tx) error {
		c = counts{
			messages: tx.Bucket([]byte("messages")).Stats().KeyN,
			index:    tx.Bucket([]byte("expiry")).Stats().KeyN,
		}
		return nil
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sweepGrace is longer than a store waits after a start before it deletes what
// has expired.
const sweepGrace = 11 * time.Minute

// Messages that expired while no process ran go once one does, beside writers
// that do not wait for that.
func TestBoltSweepsBesideWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "messages.db")
		const expired, writers, each = 5000, 16, 20
		openThenClose(t, path, func(*store.Bolt) {})
		age(t, path, expired)
		openThenClose(t, path, func(b *store.Bolt) {
			_, err := b.Get(t.Context(), message.Key{0xEE})
			wantError(t, "Get of what has expired", err, message.ErrNotFound)
			var writing sync.WaitGroup
			for range 30 {
				writing.Go(func() { writeAndRead(t, b, writers, each) })
				time.Sleep(sweepGrace / 30) //nolint:forbidigo // in a synctest bubble
			}
			writing.Wait()
		})
		const written = 30 * writers * each
		if c := inside(t, path); c.messages != written || c.index != written {
			t.Errorf("the file has %d messages and %d in the index, want %d", c.messages, c.index, written)
		}
	})
}

// writeAndRead has several writers put messages, and get each.
func writeAndRead(t *testing.T, s messageStore, writers, each int) {
	t.Helper()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				key := randomKey()
				if err := s.Put(t.Context(), key, key[:], nil, time.Hour); err != nil {
					t.Errorf("Put: %v", err)
				}
				if got, err := s.Get(t.Context(), key); err != nil || !bytes.Equal(got, key[:]) {
					t.Errorf("Get: got %x and %v, want %x", got, err, key)
				}
			}
		})
	}
	all.Wait()
}

// age gives the store at path that many messages which expired long ago.
func age(t testing.TB, path string, n int) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *bolt.Tx) error {
		for i := range n {
			key := message.Key{0xEE, byte(i >> 8), byte(i)}
			stamp := binary.BigEndian.AppendUint64(nil, uint64(1000+i))
			if err := tx.Bucket([]byte("messages")).Put(key[:], slices.Concat(stamp, make([]byte, 500))); err != nil {
				return err
			}
			if err := tx.Bucket([]byte("expiry")).Put(slices.Concat(stamp, key[:]), nil); err != nil {
				return err
			}
		}
		return nil
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
}

// A read or a swap that its caller gives up at any moment fails, or has what it was for.
func TestBoltReadGivenUp(t *testing.T) {
	b := openBolt(t, filepath.Join(t.TempDir(), "messages.db"))
	key := randomKey()
	if err := b.Put(t.Context(), key, []byte("record"), []byte("text"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%100)*time.Microsecond)
		if record, err := b.Get(ctx, key); (err == nil) != (string(record) == "record") {
			t.Errorf("Get: %q, %v", record, err)
		}
		if text, err := b.Swap(ctx, key, []byte("record"), []byte("record"), message.KeepText); (err == nil) != (string(text) == "text") {
			t.Errorf("Swap: %q, %v", text, err)
		}
		cancel()
	}
}
