package logfile

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// queueSize is how many bytes of lines wait at most, not counting those that
	// are being written: at 300 bytes a line and 500 lines a second, those of about
	// half a minute.
	queueSize = 4 << 20
	// linger is how long lines are gathered before they are written. It makes the
	// cost of a line that of copying it, also where a write is slow to start, and is
	// all that a kill of the process can cost.
	linger = 10 * time.Millisecond
	// closeAfter is how long Close waits for a writer that stands still.
	closeAfter = 2 * time.Second
)

// A queue is lines that wait to be written. It is safe for concurrent use.
type queue struct {
	wake  chan struct{} // holds a token if the queue has ceased to be empty
	today func() day    // to which lines belong that come now

	mu     sync.Mutex // guards what follows
	batch  batch
	closed bool
}

func newQueue(today func() day) queue { return queue{wake: make(chan struct{}, 1), today: today} }

// add takes p, which is one line or several whole ones, the last newline being
// optional. An error means that p is lost.
func (q *queue) add(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return os.ErrClosed
	case len(q.batch.lines)+len(p) >= queueSize:
		return errFull
	}
	if q.batch.empty() {
		token(q.wake)
	}
	// The clock is read under the lock, so that days come in their order.
	q.batch.add(q.today(), p)
	return nil
}

var errFull = errors.New("logfile: too much is waiting to be written")

// take swaps what waits for b, which is empty.
func (q *queue) take(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batch, *b = *b, q.batch
}

// shut refuses what comes from now on, and reports whether it did already.
func (q *queue) shut() (already bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	already, q.closed = q.closed, true
	return already
}

// lineCount returns how many lines there are in what add takes.
func lineCount(p []byte) int { return max(1, bytes.Count(p, newline)) }

// token leaves a token in a channel that has room for one.
func token(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
