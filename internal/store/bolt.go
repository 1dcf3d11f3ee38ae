package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

// The file's layout, all integers big endian:
//
//	format:   "messaging_api" → "1"
//	messages: store key (16 bytes) → expiry (Unix milliseconds, 8 bytes), record
//	          store key, "t"       → expiry, text of a limited message
//	expiry:   expiry, key of messages → nothing
//
// The expiry bucket is the sweeper's index, in the order of time. A text has two
// entries there once it is to go before its record.
var (
	formatBucket   = []byte("format")
	messagesBucket = []byte("messages")
	expiryBucket   = []byte("expiry")
	formatKey      = []byte("messaging_api")
	formatValue    = []byte("1")
)

const (
	stampSize = 8
	readers   = 32              // reads at a time, which is how many a disk that hangs can hold on to
	closeWait = 2 * time.Second // for reads and writes under way
)

// A Bolt is a [message.Store] in one file on disk, for a single process. Only
// its own goroutines enter the database, and callers wait for them no longer
// than their context allows. So neither a disk that hangs nor a lock that bbolt
// keeps when it panics can hold a request.
//
// One of the goroutines does all writing. All changes that have queued while it
// was on disk share the next commit, so that throughput grows with the number
// of callers and a single caller never waits for others to come.
type Bolt struct {
	db       *bolt.DB
	pageSize int // of the file, in bytes
	log      *slog.Logger
	clock    clockGuard // the writer's, but for its count
	changes  chan *change
	views    chan *view
	quit     chan struct{} // closed by Close
	workers  sync.WaitGroup
	close    func() error
}

// A view is one read on its way to a reader.
type view struct {
	read func(*bolt.Tx) error
	done chan error // gets the outcome, once
}

// OpenBolt opens the file at path, creating it (mode 0600) and its directory
// (0700) where they are missing. It fails within about two seconds, in one
// line, where the file is locked by another process, damaged, or not a store
// of this program. Close it.
func OpenBolt(path string, log *slog.Logger) (*Bolt, error) {
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("store file %q: %w", path, err)
	}
	b := &Bolt{
		db:       db,
		pageSize: db.Info().PageSize,
		log:      log,
		clock:    clockGuard{start: time.Now()},
		changes:  make(chan *change),
		views:    make(chan *view),
		quit:     make(chan struct{}),
	}
	b.close = sync.OnceValue(b.shutdown)
	b.workers.Go(b.write)
	for range readers {
		b.workers.Go(b.read)
	}
	return b, nil
}

// Put implements [message.Store]: nil means that the record is on disk. The store
// is full when less than about 4 MiB are left.
func (b *Bolt) Put(ctx context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	expires := time.Now().Add(ttl)
	return b.change(ctx, 2*stampSize+len(record)+len(text), diskReserve, func(tx *bolt.Tx) error {
		if err := insert(tx, key[:], record, expires); err != nil || text == nil {
			return err
		}
		return insert(tx, textOf(key), text, expires)
	})
}

// Get implements [message.Store].
func (b *Bolt) Get(ctx context.Context, key message.Key) ([]byte, error) {
	var record []byte
	err := b.view(ctx, func(tx *bolt.Tx) (err error) {
		record, err = find(tx, key[:], time.Now())
		return err
	})
	if err != nil {
		return nil, err // what was found is not looked at: the reader may still be at it
	}
	return record, nil
}

// find returns a copy of what is stored under a key and has not expired by now.
func find(tx *bolt.Tx, key []byte, now time.Time) ([]byte, error) {
	stored := tx.Bucket(messagesBucket).Get(key)
	switch {
	case stored == nil || expired(stored, now):
		return nil, message.ErrNotFound
	case len(stored) > maxReply: // a damaged length may be of gigabytes
		return nil, fmt.Errorf("the file is damaged: a record of %d bytes", len(stored))
	}
	return append([]byte{}, stored[stampSize:]...), nil
}

// Swap implements [message.Store]. It works on a full disk, because it is how texts
// are deleted. Where it only adds, it leaves half of diskReserve to what deletes.
func (b *Bolt) Swap(ctx context.Context, key message.Key, old, record []byte, life message.TextLife) ([]byte, error) {
	size, leave := max(len(record)-len(old), 0), 0
	if life == message.KeepText && size > 0 {
		leave = diskReserve / 2
	}
	var text []byte
	err := b.change(ctx, size, leave, func(tx *bolt.Tx) (err error) {
		messages, now := tx.Bucket(messagesBucket), time.Now()
		stored := messages.Get(key[:])
		if stored == nil || expired(stored, now) || !bytes.Equal(stored[stampSize:], old) {
			return message.ErrConflict
		}
		if text, err = find(tx, textOf(key), now); err != nil && !errors.Is(err, message.ErrNotFound) {
			return err
		}
		if life == message.KeepText && bytes.Equal(record, old) {
			return errUnchanged // what was read is on disk
		}
		if err := messages.Put(key[:], append(bytes.Clone(stored[:stampSize]), record...)); err != nil {
			return err
		}
		return limitText(tx, key, life)
	})
	if err != nil {
		return nil, err // the text is not looked at: the writer may still be at it
	}
	return text, nil
}

// Ping reports whether the file can be read.
func (b *Bolt) Ping(ctx context.Context) error { return b.view(ctx, checkFormat) }

// TryWrite reports whether the file can be written, with room for another message.
func (b *Bolt) TryWrite(ctx context.Context) error {
	return b.change(ctx, 0, diskReserve, func(tx *bolt.Tx) error {
		return tx.Bucket(formatBucket).Put(formatKey, formatValue) // as it is
	})
}

// Close waits for reads and writes under way, for at most two seconds, and
// releases the file. Any later call is ErrUnavailable; a second
// Close returns what the first one did.
func (b *Bolt) Close() error { return b.close() }

func (b *Bolt) shutdown() error {
	close(b.quit)
	released := make(chan error, 1)
	go func() {
		b.workers.Wait()
		released <- guard(b.db.Close)
	}()
	select {
	case err := <-released:
		return err
	case <-time.After(closeWait):
		return fmt.Errorf("store file: reads or writes did not end within %v", closeWait)
	}
}

// view has a reader run f in a read transaction, which f must not outlive with
// anything that it read. After an error f may still be running.
func (b *Bolt) view(ctx context.Context, f func(*bolt.Tx) error) error {
	v := &view{read: f, done: make(chan error, 1)}
	return await(ctx, b, b.views, v, v.done)
}

// await hands a job to the goroutines behind queue and waits for its outcome.
func await[J any](ctx context.Context, b *Bolt, queue chan<- J, job J, done <-chan error) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	if ctx.Err() != nil { // the select below might still prefer the queue
		return unavailable(context.Cause(ctx))
	}
	select {
	case queue <- job:
	case <-b.quit:
		return unavailable(errors.New("the store is closed"))
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
}

// read is one of the goroutines that do the reading.
func (b *Bolt) read() {
	for {
		select {
		case v := <-b.views:
			err := guard(func() error { return b.db.View(v.read) })
			if err != nil && !errors.Is(err, message.ErrNotFound) {
				err = unavailable(err)
			}
			v.done <- err
		case <-b.quit:
			return
		}
	}
}

// expired reports whether the time stamp that b begins with is not after now.
func expired(b []byte, now time.Time) bool {
	return int64(binary.BigEndian.Uint64(b)) <= now.UnixMilli() //nolint:gosec // the inverse of insert
}

// guard runs f and returns a panic of it as an error, faults in the memory map
// included: bbolt asserts by panicking, and a file that is damaged or cut under
// it must cost one request, not the process.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file is damaged: %v", r)
		}
	}()
	return f()
}
