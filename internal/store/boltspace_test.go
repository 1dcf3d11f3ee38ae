package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

// Free pages count in the file's page size, which a file from another machine
// has of its own.
func TestBoltSpaceCountsPagesOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.db")
	if err := newDatabase(t, path, 64<<10).Close(); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBolt(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	const size = 32 << 20
	if err := b.Put(t.Context(), message.Key{1}, make([]byte, size), nil, time.Second); err != nil {
		t.Fatal(err)
	}
	full, _ := b.Space()
	key := message.Key{1}
	if err := b.change(t.Context(), 0, 0, func(tx *bolt.Tx) error { return tx.Bucket(messagesBucket).Delete(key[:]) }); err != nil {
		t.Fatal(err)
	}
	if after, _ := b.Space(); full < size || after > full-size {
		t.Errorf("used with a message of %d bytes: %d, without it: %d", size, full, after)
	}
}

// What messages take up grows with them, and not the room that there is.
func TestBoltSpace(t *testing.T) {
	b, err := OpenBolt(filepath.Join(t.TempDir(), "messages.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before, room := b.Space()
	if before == 0 || room <= before {
		t.Errorf("an empty store: got %d of %d bytes", before, room)
	}
	const size, count = 1 << 20, 8
	for i := range count {
		if err := b.Put(context.Background(), message.Key{byte(i)}, make([]byte, size), nil, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	after, room := b.Space()
	if added := after - before; added < size*count || added > 2*size*count {
		t.Errorf("messages of %d bytes added %d", size*count, added)
	}
	if room <= after {
		t.Errorf("a store on a disk that is not full: got %d of %d bytes", after, room)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if used, room := b.Space(); used != 0 || room != 0 {
		t.Errorf("a closed store: got %d of %d bytes, want 0 of 0", used, room)
	}
}

// newDatabase returns an empty store's database.
func newDatabase(t testing.TB, path string, pageSize int) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize, NoSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := format(db, filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	return db
}
