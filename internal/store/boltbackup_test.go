package store_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// A heldWriter keeps what is written, and waits before the first byte until it is
// released.
type heldWriter struct {
	bytes.Buffer
	release <-chan struct{}
}

func (h *heldWriter) Write(p []byte) (int, error) {
	<-h.release
	return h.Buffer.Write(p)
}

// A backup whose client takes nothing holds up no write, though the file grows to
// many times its size, and holds what was there when it began.
func TestBoltBackupHoldsUpNobody(t *testing.T) {
	b := openBolt(t, filepath.Join(t.TempDir(), "messages.db"))
	before := mustPut(t, b, 1000)
	release, begun, done := make(chan struct{}), make(chan int64, 1), make(chan error, 1)
	copied := &heldWriter{release: release}
	go func() { done <- b.Backup(context.Background(), copied, func(size int64) { begun <- size }) }()
	size := <-begun
	var later []message.Key
	for range 64 {
		later = append(later, mustPut(t, b, 1<<20))
	}
	close(release)
	if err := <-done; err != nil || int64(copied.Len()) != size {
		t.Fatalf("Backup: got %d bytes and %v, want %d", copied.Len(), err, size)
	}
	path := filepath.Join(t.TempDir(), "backup.db")
	writeFile(t, path, copied.Bytes())
	openThenClose(t, path, func(restored *store.Bolt) {
		if got, err := restored.Get(t.Context(), before); err != nil || len(got) != 1000 {
			t.Errorf("a message from before: got %d bytes and %v", len(got), err)
		}
		for _, key := range later {
			_, err := restored.Get(t.Context(), key)
			wantError(t, "a message from later", err, message.ErrNotFound)
		}
	})
}

// A backup ends with its context, and with the store.
func TestBoltBackupEnds(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "messages.db")
	b := openThenClose(t, path, func(b *store.Bolt) {
		err := b.Backup(cancelled, new(bytes.Buffer), func(int64) {})
		wantError(t, "Backup whose client is gone", err, message.ErrUnavailable)

		release, begun, done := make(chan struct{}), make(chan int64, 1), make(chan error, 1)
		go func() {
			done <- b.Backup(context.Background(), &heldWriter{release: release}, func(size int64) { begun <- size })
		}()
		<-begun
		closed := make(chan error, 1)
		go func() { closed <- b.Close() }()
		eventually(t, "the store closes", func() error {
			_, err := b.Get(t.Context(), message.Key{})
			if errors.Is(err, message.ErrUnavailable) {
				return nil
			}
			return errors.New("it still answers")
		})
		close(release)
		wantError(t, "Backup of a store that closes", <-done, message.ErrUnavailable)
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	wantError(t, "Backup of a closed store", b.Backup(t.Context(), new(bytes.Buffer), func(int64) {}), message.ErrUnavailable)
}
