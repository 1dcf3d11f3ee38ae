package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"messaging_api/internal/message"
)

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
		if err := b.Put(context.Background(), message.Key{byte(i)}, make([]byte, size), time.Hour); err != nil {
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
