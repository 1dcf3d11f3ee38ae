package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

const (
	// What shares one commit, at most: bbolt copies it twice. A change costs the
	// bytes that it adds, and changeCost.
	commitBytes = 8 << 20
	changeCost  = 32 << 10

	// diskReserve is what changes leave of the disk. bbolt never changes a page in
	// place, so even deleting needs free pages: a disk without any could not be
	// swept, and would stay full for ever.
	diskReserve = 4 << 20
)

// A change is one write on its way to the writer.
type change struct {
	// apply makes the change. An error of the contract means that it has changed
	// nothing; then the other changes of its transaction go on.
	apply func(*bolt.Tx) error
	size  int        // bytes that it adds
	leave int        // bytes of the disk that it leaves free; 0: it is made on a full disk too
	err   error      // of this change alone; the writer's
	done  chan error // gets the outcome, once
}

// change has the writer apply a change that adds size bytes and leaves so many of
// the disk. nil means that it is on disk. After ErrUnavailable it may still be made.
func (b *Bolt) change(ctx context.Context, size, leave int, apply func(*bolt.Tx) error) error {
	c := &change{apply: apply, size: size, leave: leave, done: make(chan error, 1)}
	return await(ctx, b, b.changes, c, c.done)
}

// write is the goroutine that does all writing.
func (b *Bolt) write() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	batch := sweepBatch
	for {
		select {
		case c := <-b.changes:
			b.commit(b.gather(c))
		case <-timer.C:
			var wait time.Duration
			batch, wait = b.trySweep(batch)
			timer.Reset(wait) // where it is 0, changes still get their turn
		case <-b.quit:
			return
		}
	}
}

// gather returns first and the changes that wait behind it, as many as share a commit.
func (b *Bolt) gather(first *change) []*change {
	batch := []*change{first}
	for cost := first.size + changeCost; cost < commitBytes; {
		select {
		case next := <-b.changes:
			batch = append(batch, next)
			cost += next.size + changeCost
		default:
			return batch
		}
	}
	return batch
}

// errUnchanged ends a transaction that has nothing to write.
var errUnchanged = errors.New("nothing to write")

// commit makes a batch of changes in one transaction and tells each its outcome.
func (b *Bolt) commit(batch []*change) {
	err := b.update(func(tx *bolt.Tx) error {
		room, err := b.room()
		if err != nil {
			return err
		}
		made := 0
		for _, c := range batch {
			if c.leave > 0 && c.size+c.leave > room {
				c.err = fmt.Errorf("%w: the disk has room for %d bytes", message.ErrFull, max(room-c.leave, 0))
				continue
			}
			c.err = c.apply(tx)
			switch {
			case c.err == nil:
				made++
				room -= c.size
			case errors.Is(c.err, errUnchanged):
				c.err = nil
			case !errors.Is(c.err, message.ErrExists) && !errors.Is(c.err, message.ErrConflict):
				return c.err
			}
		}
		if made == 0 {
			return errUnchanged
		}
		return nil
	})
	for _, c := range batch {
		if err != nil {
			c.err = err
		}
		c.done <- c.err
	}
}

// room returns how many bytes may still be written, to free pages of the file or
// by growing it.
func (b *Bolt) room() (int, error) {
	left, err := diskLeft(b.db.Path())
	return b.freeInside() + left, err
}

// diskLeft returns how many bytes the disk of a file has left for others than
// root.
func diskLeft(path string) (int, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(path, &disk); err != nil {
		return 0, err
	}
	if disk.Blocks == 0 { // the file system does not say
		return math.MaxInt / 2, nil
	}
	return int(disk.Bavail) * int(disk.Bsize), nil //nolint:gosec // no disk has 2^63 bytes
}

// freeInside returns the bytes of the file that are free.
func (b *Bolt) freeInside() int {
	stats := b.db.Stats()
	return (stats.FreePageN + stats.PendingPageN) * b.pageSize
}

// Space returns how many bytes of the disk messages take up, and how many they
// could: with the pages that are free in the file, which never shrinks, and what
// the disk has left. Where the file or the disk cannot be asked both are zero.
func (b *Bolt) Space() (used, limit uint64) {
	path := b.db.Path()
	var file syscall.Stat_t
	if err := syscall.Stat(path, &file); err != nil {
		return 0, 0
	}
	left, err := diskLeft(path)
	if err != nil {
		return 0, 0
	}
	// Not its length: bbolt makes the file longer before it writes there.
	size := int(file.Blocks) * 512
	return uint64(max(size-b.freeInside(), 0)), uint64(size + left) //nolint:gosec // never negative
}

// textOf is the key of the text beside a record.
func textOf(key message.Key) []byte { return append(key[:], 't') }

// insert adds a record or a text, and its entry in the index.
func insert(tx *bolt.Tx, key, value []byte, expires time.Time) error {
	messages, expiry := tx.Bucket(messagesBucket), tx.Bucket(expiryBucket)
	if old := messages.Get(key); old != nil {
		if !expired(old, time.Now()) {
			return message.ErrExists
		}
		if err := expiry.Delete(indexKey(old[:stampSize], key)); err != nil {
			return err
		}
	}
	stamp := stampOf(expires)
	if err := expiry.Put(indexKey(stamp, key), nil); err != nil {
		return err
	}
	return messages.Put(key, append(stamp, value...))
}

// limitText lets a text go at once, or has the sweeper delete it later.
func limitText(tx *bolt.Tx, key message.Key, life message.TextLife) error {
	messages, expiry := tx.Bucket(messagesBucket), tx.Bucket(expiryBucket)
	text := textOf(key)
	switch stored := messages.Get(text); {
	case stored == nil || life == message.KeepText:
		return nil
	case life == message.DropText:
		if err := expiry.Delete(indexKey(stored[:stampSize], text)); err != nil {
			return err
		}
		return messages.Delete(text)
	}
	return expiry.Put(indexKey(stampOf(time.Now().Add(time.Duration(life))), text), nil)
}

func stampOf(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli()))
}

// update runs f in a write transaction. Its errors are the contract's.
func (b *Bolt) update(f func(*bolt.Tx) error) error {
	err := guard(func() error { return b.db.Update(f) })
	switch {
	case err == nil, errors.Is(err, errUnchanged):
		return nil
	case isFull(err):
		return fmt.Errorf("%w: %s", message.ErrFull, err.Error())
	default:
		return unavailable(err)
	}
}

// isFull tells a full disk from other failures of a commit, by the text too:
// where growing the file fails, that is all that bbolt passes on.
func isFull(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.HasSuffix(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

func indexKey(stamp, key []byte) []byte {
	return append(append(make([]byte, 0, stampSize+len(key)), stamp[:stampSize]...), key...)
}
