package store

import (
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
	putBatch = 256     // writes that share one commit, at most,
	putBytes = 8 << 20 // and no further ones once they are this large: bbolt copies them twice

	// diskReserve is what puts leave of the disk. bbolt never changes a page in
	// place, so even deleting needs free pages: a disk that was full to the last
	// of them could not be swept, and would stay full for ever.
	diskReserve = 4 << 20
)

// A put is one write on its way to the writer.
type put struct {
	key     message.Key
	value   []byte
	expires time.Time
	err     error      // of this put alone; the writer's
	done    chan error // gets the outcome, once
}

// write is the goroutine that does all writing.
func (b *Bolt) write() {
	timer := time.NewTimer(0) // what expired while no process ran goes first
	defer timer.Stop()
	batch := sweepBatch
	for {
		select {
		case p := <-b.puts:
			b.commit(b.gather(p))
		case now := <-timer.C:
			var wait time.Duration
			batch, wait = b.sweep(now, batch)
			timer.Reset(wait) // where it is 0, puts still get their turn
		case <-b.quit:
			return
		}
	}
}

// gather returns first and the puts that wait behind it.
func (b *Bolt) gather(first *put) []*put {
	batch := []*put{first}
	for size := len(first.value); len(batch) < putBatch && size < putBytes; {
		select {
		case p := <-b.puts:
			batch = append(batch, p)
			size += len(p.value)
		default:
			return batch
		}
	}
	return batch
}

// errUnchanged ends a transaction that has nothing to write.
var errUnchanged = errors.New("nothing to write")

// commit writes a batch in one transaction and tells each put its outcome.
func (b *Bolt) commit(batch []*put) {
	err := b.update(func(tx *bolt.Tx) error {
		room, err := roomFor(tx)
		if err != nil {
			return err
		}
		stored := 0
		for _, p := range batch {
			if len(p.value) > room {
				p.err = fmt.Errorf("%w: the disk has room for values of %d bytes", message.ErrFull, max(room, 0))
				continue
			}
			p.err = insert(tx, p)
			switch {
			case p.err == nil:
				stored++
				room -= len(p.value)
			case !errors.Is(p.err, message.ErrExists):
				return p.err
			}
		}
		if stored == 0 {
			return errUnchanged
		}
		return nil
	})
	for _, p := range batch {
		if err != nil {
			p.err = err
		}
		p.done <- p.err
	}
}

// roomFor returns how many bytes of values may still be written, to free pages
// of the file or by growing it.
func roomFor(tx *bolt.Tx) (int, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(tx.DB().Path(), &disk); err != nil {
		return 0, err
	}
	stats := tx.DB().Stats()
	inside := (stats.FreePageN + stats.PendingPageN) * tx.DB().Info().PageSize
	outside := math.MaxInt / 2 // where the file system does not say
	if disk.Blocks > 0 {
		outside = int(disk.Bavail) * int(disk.Bsize) //nolint:gosec // no disk has 2^63 bytes
	}
	return inside + outside - diskReserve, nil
}

// insert adds one message and its entry in the index.
func insert(tx *bolt.Tx, p *put) error {
	messages, expiry := tx.Bucket(messagesBucket), tx.Bucket(expiryBucket)
	if old := messages.Get(p.key[:]); old != nil {
		if !expired(old, time.Now()) {
			return message.ErrExists
		}
		if err := expiry.Delete(indexKey(old[:stampSize], p.key)); err != nil {
			return err
		}
	}
	record := make([]byte, stampSize, stampSize+len(p.value))
	binary.BigEndian.PutUint64(record, uint64(p.expires.UnixMilli()))
	if err := expiry.Put(indexKey(record, p.key), nil); err != nil {
		return err
	}
	return messages.Put(p.key[:], append(record, p.value...))
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

func indexKey(stamp []byte, key message.Key) []byte {
	k := make([]byte, 0, indexSize)
	return append(append(k, stamp[:stampSize]...), key[:]...)
}
