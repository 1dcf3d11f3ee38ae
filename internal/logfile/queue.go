package logfile

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// queueSize is how many bytes of lines wait at most, not counting those that
	// are being written: half a minute of 500 lines a second, at 300 bytes a line.
	queueSize = 4 << 20
	// keptBuffer is the largest buffer that is kept for the next lines. A slow disk
	// makes larger ones.
	keptBuffer = 256 << 10
	// gatherTime is how long lines are gathered for one write. A kill of the process
	// loses these lines.
	gatherTime = 10 * time.Millisecond
	// checkEvery is how often the writer is called without new lines: to retry after
	// an error, at midnight, and to report.
	checkEvery = time.Second
	// closeTimeout is how long Close waits for a disk or a reader that hangs.
	closeTimeout = 2 * time.Second
)

// A writer writes the lines of a Queue. Only the queue's goroutine calls it.
type writer interface {
	// write gets whole lines, or none: it is called at least once a second. It returns
	// how many bytes are done with, written or lost, which end with a line, and how many
	// of these lines are lost. It gets the rest again.
	write(now time.Time, lines []byte) (done, lost int, err error)
	close()
}

// A Queue is an io.WriteCloser for whole lines. It gathers them for a writer, and does
// not wait for it. It is safe for concurrent use.
type Queue struct {
	writer   writer
	reporter reporter
	wake     chan struct{} // holds a token if there is something to write
	stop     chan struct{} // closed by Close
	finished chan struct{} // closed when the queue's goroutine has ended

	mu     sync.Mutex // guards what follows
	lines  []byte
	closed bool

	batch []byte // taken from lines; the queue's goroutine's own
	done  int    // bytes of batch that are written or lost
}

func newQueue(w writer, log *slog.Logger) *Queue {
	q := &Queue{
		writer:   w,
		reporter: reporter{log: log},
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		finished: make(chan struct{}),
	}
	go q.run()
	return q
}

// Write takes one or more whole lines and returns at once, without an error. If too many
// lines wait already, or the Queue is closed, p is lost and counted.
func (q *Queue) Write(p []byte) (int, error) {
	if !q.add(p) {
		q.reporter.lose(bytes.Count(p, newline))
		return len(p), nil
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (q *Queue) add(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.lines)+len(p) >= queueSize {
		return false
	}
	q.lines = append(q.lines, p...)
	return true
}

// Lost returns how many lines were lost, for a metric.
func (q *Queue) Lost() uint64 { return q.reporter.count() }

// Close writes what waits. If that takes longer than two seconds, because a disk or a
// reader hangs, it returns an error. Later lines are lost.
func (q *Queue) Close() error {
	q.mu.Lock()
	closed := q.closed
	q.closed = true
	q.mu.Unlock()
	if closed {
		return os.ErrClosed
	}
	close(q.stop)
	select {
	case <-q.finished:
		return nil
	case <-time.After(closeTimeout):
		return fmt.Errorf("logfile: the last lines could not be written within %v", closeTimeout)
	}
}

// run writes until Close.
func (q *Queue) run() {
	defer close(q.finished)
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for stopping := false; !stopping; {
		select {
		case <-q.wake:
			if q.done < len(q.batch) {
				continue // the writer failed: retry at the next tick
			}
			select {
			case <-time.After(gatherTime):
			case <-q.stop:
			}
		case <-tick.C:
		case <-q.stop:
			stopping = true
		}
		q.flush()
	}
	q.mu.Lock()
	left := append(q.batch[q.done:], q.lines...)
	q.mu.Unlock()
	q.reporter.lose(bytes.Count(left, newline))
	q.reporter.last()
	q.writer.close()
}

// flush writes the lines that wait, until there are none or the writer fails.
func (q *Queue) flush() {
	for {
		if q.done == len(q.batch) {
			q.take()
		}
		done, lost, err := q.writer.write(time.Now(), q.batch[q.done:])
		q.done += done
		q.reporter.set(err)
		q.reporter.lose(lost)
		if done == 0 || q.done < len(q.batch) {
			return
		}
	}
}

// take makes the waiting lines the batch, and keeps the old batch's buffer for the next
// lines.
func (q *Queue) take() {
	buffer := q.batch[:0]
	if cap(buffer) > keptBuffer {
		buffer = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lines, q.batch, q.done = buffer, q.lines, 0
}

var newline = []byte{'\n'}

// NewStream returns a Queue in front of w, such as stdout. Lines that w does not take
// are lost and counted, and not tried again.
func NewStream(w io.Writer) *Queue {
	return newQueue(&stream{w: w}, slog.New(slog.DiscardHandler))
}

// A stream writes to something that cannot be opened again.
type stream struct {
	w    io.Writer
	torn bool // the last line was written in part
}

func (s *stream) write(_ time.Time, lines []byte) (done, lost int, err error) {
	if len(lines) == 0 {
		return 0, 0, nil
	}
	if s.torn {
		if _, err = s.w.Write(newline); err != nil {
			return len(lines), bytes.Count(lines, newline), err
		}
	}
	written, err := s.w.Write(lines)
	s.torn = written > 0 && lines[written-1] != '\n'
	return len(lines), bytes.Count(lines[written:], newline), err
}

func (s *stream) close() {}
