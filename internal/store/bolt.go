package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"messaging_api/internal/message"
)

// The file's layout, all integers big endian:
//
//	format:   "messaging_api" → "1"
//	messages: store key (16 bytes) → expiry (Unix milliseconds, 8 bytes), envelope
//	expiry:   expiry (8 bytes), store key (16 bytes) → nothing
//
// The expiry bucket is the sweeper's index, in the order of time.
var (
	formatBucket   = []byte("format")
	messagesBucket = []byte("messages")
	expiryBucket   = []byte("expiry")
	formatKey      = []byte("messaging_api")
	formatValue    = []byte("1")
)

const (
	stampSize  = 8
	lockWait   = time.Second      // for another process to let go of the file
	sweepEvery = 10 * time.Second // how long an expired message keeps its space
	sweepBatch = 1000             // deletions a transaction, which bounds what a writer waits for
	putBatch   = 256              // writes that share one commit
)

// A Bolt is a [message.Store] in one file on disk, for a single process. One
// goroutine owns all writing: whatever puts have queued while it was on disk
// share the next commit, so that throughput grows with the number of writers
// and one writer never waits for others to come.
type Bolt struct {
	db   *bolt.DB
	log  *slog.Logger
	puts chan *put
	quit chan struct{} // closed by Close
	done chan struct{} // closed when the writer has returned
}

// A put is one write on its way to the writer.
type put struct {
	key     message.Key
	value   []byte
	expires time.Time
	err     error      // of this put alone; set by the writer
	done    chan error // gets the outcome, once
}

// OpenBolt opens the file at path, creating it (mode 0600) and its directory
// (0700) where they are missing. It fails within about two seconds, in one
// line, where the file is locked by another process, damaged, or not a store
// of this program. Close it.
func OpenBolt(path string, log *slog.Logger) (*Bolt, error) {
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("store file %s: %w", path, err)
	}
	b := &Bolt{
		db:   db,
		log:  log,
		puts: make(chan *put),
		quit: make(chan struct{}),
		done: make(chan struct{}),
	}
	go b.write()
	return b, nil
}

// openFile opens and examines the database.
func openFile(path string) (*bolt.DB, error) {
	if err := prepare(path); err != nil {
		return nil, err
	}
	var db *bolt.DB
	err := guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      lockWait,
			FreelistType: bolt.FreelistMapType,
		})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, errors.New("another process has it open")
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("damaged, or not a store of this program: %s", err.Error())
	case err != nil:
		return nil, errors.New(err.Error())
	}
	if err := examine(db, path); err != nil {
		_ = guard(db.Close)
		return nil, err
	}
	return db, nil
}

// prepare makes the directory, refuses what is not a regular file and takes
// away others' access to an existing one.
func prepare(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Mode().Perm()&0o077 != 0:
		return os.Chmod(path, 0o600)
	}
	return nil
}

// Put implements [message.Store]: nil means that the value is on disk.
func (b *Bolt) Put(ctx context.Context, key message.Key, value []byte, ttl time.Duration) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	p := &put{key: key, value: value, expires: time.Now().Add(ttl), done: make(chan error, 1)}
	select {
	case b.puts <- p:
	case <-b.quit:
		return unavailable(errClosed)
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
}

// Get implements [message.Store].
func (b *Bolt) Get(_ context.Context, key message.Key) ([]byte, error) {
	var value []byte
	err := guard(func() error {
		return b.db.View(func(tx *bolt.Tx) error {
			record := tx.Bucket(messagesBucket).Get(key[:])
			if len(record) < stampSize || expired(record, time.Now()) {
				return message.ErrNotFound
			}
			value = append(value, record[stampSize:]...)
			return nil
		})
	})
	if err != nil && !errors.Is(err, message.ErrNotFound) {
		return nil, unavailable(err)
	}
	return value, err
}

// Ping reports whether the file can be read.
func (b *Bolt) Ping(context.Context) error {
	err := guard(func() error {
		return b.db.View(func(tx *bolt.Tx) error { return checkFormat(tx) })
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// Close waits for writes under way, then releases the file.
func (b *Bolt) Close() error {
	close(b.quit)
	<-b.done
	return b.db.Close()
}

// write is the goroutine that owns all writing.
func (b *Bolt) write() {
	defer close(b.done)
	timer := time.NewTimer(0) // what expired while no process ran goes first
	defer timer.Stop()
	for {
		select {
		case p := <-b.puts:
			b.commit(gather(p, b.puts, putBatch))
		case now := <-timer.C:
			n, err := b.sweep(now)
			if err != nil {
				b.log.Error("expired messages keep their space", "event", "sweep", "error", err)
			}
			// A full batch means that more wait; the puts between get their turn.
			if n == sweepBatch {
				timer.Reset(0)
			} else {
				timer.Reset(sweepEvery)
			}
		case <-b.quit:
			return
		}
	}
}

// commit writes a batch in one transaction and tells each put its outcome.
func (b *Bolt) commit(batch []*put) {
	err := guard(func() error {
		return b.db.Update(func(tx *bolt.Tx) error {
			for _, p := range batch {
				p.err = insert(tx, p)
				if p.err != nil && !errors.Is(p.err, message.ErrExists) {
					return p.err
				}
			}
			return nil
		})
	})
	for _, p := range batch {
		if err != nil {
			p.err = writeError(err)
		}
		p.done <- p.err
	}
}

// insert adds one message and its entry in the index.
func insert(tx *bolt.Tx, p *put) error {
	messages, expiry := tx.Bucket(messagesBucket), tx.Bucket(expiryBucket)
	if old := messages.Get(p.key[:]); len(old) >= stampSize {
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

// sweep deletes messages that have expired by now, at most sweepBatch of them,
// and returns how many.
func (b *Bolt) sweep(now time.Time) (n int, err error) {
	err = guard(func() error {
		return b.db.Update(func(tx *bolt.Tx) error {
			messages, expiry := tx.Bucket(messagesBucket), tx.Bucket(expiryBucket)
			var over [][]byte // deleting moves a cursor, so the keys come first
			cursor := expiry.Cursor()
			for k, _ := cursor.First(); k != nil && len(over) < sweepBatch && expired(k, now); k, _ = cursor.Next() {
				over = append(over, k)
			}
			for _, k := range over {
				if err := messages.Delete(k[stampSize:]); err != nil {
					return err
				}
				if err := expiry.Delete(k); err != nil {
					return err
				}
			}
			n = len(over)
			return nil
		})
	})
	return n, err
}

func indexKey(stamp []byte, key message.Key) []byte {
	k := make([]byte, 0, stampSize+len(key))
	return append(append(k, stamp[:stampSize]...), key[:]...)
}

// expired reports whether the time stamp that b begins with is not after now.
func expired(b []byte, now time.Time) bool {
	return int64(binary.BigEndian.Uint64(b)) <= now.UnixMilli() //nolint:gosec // the inverse of insert
}

// writeError tells a full disk from other failures of a commit.
func writeError(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w: %s", message.ErrFull, err.Error())
		}
	}
	return unavailable(err)
}

// guard runs f and returns a panic of it as an error, faults in the memory map
// included: bbolt asserts by panicking, and a damaged or truncated file must
// cost one request, not the process.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file is damaged: %v", r)
		}
	}()
	return f()
}
