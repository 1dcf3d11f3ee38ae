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
	// reportEvery is how often lost lines, and what keeps lines from being written, are
	// logged at most.
	reportEvery = time.Minute
	// closeTimeout is how long Close waits for a disk or a reader that hangs.
	closeTimeout = 2 * time.Second
)

// A writer writes the lines of a Queue. Only the queue's goroutine calls it.
type writer interface {
	// write gets whole lines, or none: it is called at least once a second. It returns
	// how many bytes it wrote.
	write(now time.Time, lines []byte) (n int, err error)
	close()
}

// A Queue is an io.WriteCloser for whole lines. It gathers them for a writer, and does
// not wait for it. It is safe for concurrent use.
type Queue struct {
	writer   writer
	retry    bool          // what was not written is tried again; otherwise it is lost
	log      *slog.Logger  // for what keeps lines from being written
	wake     chan struct{} // holds a token if there is something to write
	stop     chan struct{} // closed by Close
	finished chan struct{} // closed when the queue's goroutine has ended

	mu       sync.Mutex // guards what follows
	lines    []byte
	closed   bool
	err      error // why lines are not written, or old logs not deleted
	lost     uint64
	reported struct { // err and lost, when they were last logged
		err  error
		lost uint64
		at   time.Time
	}

	batch []byte // taken from lines; the queue's goroutine's own
	done  int    // bytes of batch that are written or lost
}

func newQueue(w writer, retry bool, log *slog.Logger) *Queue {
	q := &Queue{
		writer:   w,
		retry:    retry,
		log:      log,
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		finished: make(chan struct{}),
	}
	go q.run()
	return q
}

// NewStream returns a Queue in front of w, such as stdout. Lines that w does not take
// are lost and counted, and not tried again.
func NewStream(w io.Writer) *Queue {
	return newQueue(&stream{Writer: w}, false, slog.New(slog.DiscardHandler))
}

type stream struct {
	io.Writer
	torn bool // the last write ended inside a line
}

func (s *stream) write(_ time.Time, lines []byte) (int, error) {
	if len(lines) == 0 {
		return 0, nil
	}
	if s.torn {
		if _, err := s.Write(newline); err != nil {
			return 0, err
		}
	}
	n, err := s.Write(lines)
	s.torn = n > 0 && lines[n-1] != '\n'
	return n, err
}

func (*stream) close() {}

// Write takes one or more whole lines and returns at once, without an error. If too many
// lines wait already, or the Queue is closed, p is lost and counted.
func (q *Queue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.lines)+len(p) >= queueSize {
		q.lose(p)
		q.report(reportEvery) // here, because the queue's goroutine may hang in the disk
		return len(p), nil
	}
	q.lines = append(q.lines, p...)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

// Lost returns how many lines were lost, for a metric.
func (q *Queue) Lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

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
	q.writer.close()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lose(q.batch[q.done:])
	q.lose(q.lines)
	q.report(0)
}

// flush writes the lines that wait, until there are none or the writer fails.
func (q *Queue) flush() {
	for {
		if q.done == len(q.batch) {
			q.take()
		}
		n, err := q.writer.write(time.Now(), q.batch[q.done:])
		q.done += n
		q.mu.Lock()
		q.err = err
		if err != nil && !q.retry {
			q.lose(q.batch[q.done:])
			q.done = len(q.batch)
		}
		q.report(reportEvery)
		q.mu.Unlock()
		if err != nil || n == 0 {
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

// lose counts lines that will never be written. The caller holds mu.
func (q *Queue) lose(lines []byte) { q.lost += uint64(bytes.Count(lines, newline)) } //nolint:gosec // never negative

var newline = []byte{'\n'}

// report logs if there is news and the last report is at least so old. The caller holds mu.
func (q *Queue) report(age time.Duration) {
	lost := q.lost - q.reported.lost
	if q.err == nil && q.reported.err == nil && lost == 0 || time.Since(q.reported.at) < age {
		return
	}
	q.reported.err, q.reported.lost, q.reported.at = q.err, q.lost, time.Now()
	switch attrs := []any{"event", "log_file", "lost_lines", lost}; {
	case q.err != nil:
		q.log.Error("log file: lines are not written", append(attrs, "error", q.err)...)
	case lost > 0:
		q.log.Error("log file: lines were lost, and are written again", attrs...)
	default:
		q.log.Info("log file: lines are written again", attrs...)
	}
}
