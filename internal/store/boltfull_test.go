package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// A full disk is message.ErrFull, costs no message, and is no dead end: what
// expires makes room, though deleting it needs room too, and though others fill
// what this store has left of the disk.
func TestBoltOnAFullDisk(t *testing.T) {
	for _, size := range []int{200, 3000, 100_000} {
		t.Run(fmt.Sprintf("messages of %d bytes", size), func(t *testing.T) {
			t.Parallel()
			dir := smallDisk(t, 10<<20)
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(dir, "messages.db")
				var stay, expire []message.Key
				openThenClose(t, path, func(b *store.Bolt) {
					for range 3 {
						stay = append(stay, mustPut(t, b, size))
					}
					expire = putUntilFull(t, b, size)
					fillDisk(t, dir, "ballast", 100<<10)
					wantError(t, "Put", b.Put(t.Context(), randomKey(), make([]byte, size), nil, time.Hour), message.ErrFull)
					for i, key := range stay {
						if got, err := b.Get(t.Context(), key); err != nil || len(got) != size {
							t.Errorf("message %d while the disk is full: got %d bytes and %v", i, len(got), err)
						}
					}
					if err := b.Ping(t.Context()); err != nil {
						t.Errorf("Ping while the disk is full: %v", err)
					}
					eventually(t, "expiry", func() error {
						if _, err := b.Get(t.Context(), expire[len(expire)-1]); !errors.Is(err, message.ErrNotFound) {
							return fmt.Errorf("it is still there: %w", err)
						}
						return nil
					})
				})
				b := openBolt(t, path)
				time.Sleep(sweepGrace) //nolint:forbidigo // in a synctest bubble
				for range len(expire) / 10 {
					eventually(t, "room", func() error {
						err := b.Put(t.Context(), randomKey(), make([]byte, size), nil, time.Hour)
						if err != nil && !errors.Is(err, message.ErrFull) {
							t.Fatalf("Put: %v", err)
						}
						return err
					})
				}
				for i, key := range stay {
					if got, err := b.Get(t.Context(), key); err != nil || len(got) != size {
						t.Errorf("message %d afterwards: got %d bytes and %v", i, len(got), err)
					}
				}
			})
		})
	}
}

// fillDisk writes a file that leaves so many bytes of a disk.
func fillDisk(t *testing.T, dir, name string, leave uint64) {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	free := uint64(disk.Bavail) * uint64(disk.Bsize) //nolint:unconvert // other systems have other types
	if free < leave {
		t.Fatalf("%d bytes are left, want at least %d", free, leave)
	}
	writeFile(t, filepath.Join(dir, name), make([]byte, free-leave))
}

// smallDisk mounts a file system of that size, which goes with the test.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "tmpfs", dir).CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("mounting a small disk: %v: %s, and CI must not pass without it", err, out)
	default:
		t.Logf("NOT TESTED: a full disk: only root on Linux can mount a small one: %v: %s", err, out)
		t.Skip("needs root")
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v: %s", err, out)
		}
	})
	return dir
}

func mustPut(t *testing.T, s messageStore, size int) message.Key {
	t.Helper()
	key := randomKey()
	if err := s.Put(t.Context(), key, make([]byte, size), nil, time.Hour); err != nil {
		t.Fatalf("Put of %d bytes: %v", size, err)
	}
	return key
}

// putUntilFull puts messages of a short life until there is no room for one
// more, first from several writers, and returns those that the store took.
func putUntilFull(t *testing.T, s messageStore, size int) []message.Key {
	t.Helper()
	var mu sync.Mutex
	var taken []message.Key
	put := func() {
		for {
			key := randomKey()
			if err := s.Put(t.Context(), key, make([]byte, size), nil, 3*time.Second); err != nil {
				wantError(t, "Put where there is no room", err, message.ErrFull)
				return
			}
			mu.Lock()
			taken = append(taken, key)
			mu.Unlock()
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(put)
	}
	all.Wait()
	put()
	return taken
}

// On a full disk messages are opened, but what that adds leaves room to delete:
// otherwise many openings could fill the disk for ever.
func TestBoltSwapsOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 16<<20)
	b := openBolt(t, filepath.Join(dir, "messages.db"))
	key := randomKey()
	if err := b.Put(t.Context(), key, []byte("record"), make([]byte, 1<<20), time.Hour); err != nil {
		t.Fatal(err)
	}
	old := []byte("record")
	swap := func(life message.TextLife) error {
		record := append([]byte("longer "), old...)
		_, err := b.Swap(t.Context(), key, old, record, life)
		if err == nil {
			old = record
		}
		return err
	}
	fillDisk(t, dir, "ballast", 3<<20)
	wantError(t, "Put", b.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour), message.ErrFull)
	if err := swap(message.KeepText); err != nil {
		t.Errorf("an opening on a full disk: %v", err)
	}
	fillDisk(t, dir, "more", 512<<10)
	wantError(t, "an opening when only the room to delete is left", swap(message.KeepText), message.ErrFull)
	if err := swap(message.TextLife(time.Minute)); err != nil {
		t.Errorf("the last opening: %v", err)
	}
	if err := swap(message.DropText); err != nil {
		t.Errorf("deleting the text: %v", err)
	}
	if _, text := recordAndText(t, b, key); text != nil {
		t.Errorf("after that: a text of %d bytes", len(text))
	}
}
