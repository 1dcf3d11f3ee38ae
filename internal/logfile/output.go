package logfile

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// An Output gathers lines for a writer to which each write is dear and may wait,
// as stdout is where a pipe leads to a collector: it makes one write of what has
// come within milliseconds, and whoever logs never waits for it. Where the writer
// stands still a few megabytes of lines wait in memory; beyond that they are lost
// and counted, and so are those that the writer refuses. It is an io.WriteCloser
// for whole lines, safe for concurrent use.
type Output struct {
	w       io.Writer
	queue   queue
	stop    chan struct{} // closed by Close
	written chan struct{} // closed when all is written that will be
	lost    atomic.Uint64 // lines

	torn bool // the last line was written in part: the flusher's own
}

// NewOutput returns an Output to w. Close it.
func NewOutput(w io.Writer) *Output {
	o := &Output{
		w:       w,
		queue:   newQueue(func() day { return 0 }), // all days are one
		stop:    make(chan struct{}),
		written: make(chan struct{}),
	}
	go o.run()
	return o
}

// Write takes p, which is one line or several whole ones, the last newline being
// optional, and returns without waiting. An error means that p is lost: too much is
// waiting already, or the Output is closed.
func (o *Output) Write(p []byte) (int, error) {
	if err := o.queue.add(p); err != nil {
		o.lose(lineCount(p))
		return 0, err
	}
	return len(p), nil
}

// lose counts lines that will never be written.
func (o *Output) lose(lines int) {
	if lines > 0 {
		o.lost.Add(uint64(lines))
	}
}

// Lost returns how many lines have been lost since NewOutput, for a metric.
func (o *Output) Lost() uint64 { return o.lost.Load() }

// Close writes what waits. It waits two seconds for a writer that stands still,
// and then says so. Lines that come afterwards are refused.
func (o *Output) Close() error {
	if o.queue.shut() {
		return os.ErrClosed
	}
	close(o.stop)
	select {
	case <-o.written:
		return nil
	case <-time.After(closeAfter):
		return fmt.Errorf("logfile: the output has not taken all within %v", closeAfter)
	}
}

// run writes until Close.
func (o *Output) run() {
	defer close(o.written)
	var b batch
	for open := true; open; {
		select {
		case <-o.queue.wake:
			select {
			case <-time.After(linger):
			case <-o.stop:
			}
		case <-o.stop:
			open = false
		}
		o.flush(&b)
	}
}

// flush writes what waits, in b. What the writer does not take is lost, since
// most of the reasons are not over a moment later.
func (o *Output) flush(b *batch) {
	for o.queue.take(b); !b.empty(); {
		_, lines := b.first()
		n, err := o.write(lines)
		b.drop(n)
		if err != nil {
			o.lose(b.count())
			b.drop(len(lines) - n)
		}
	}
}

// write writes lines, and before them ends one that was written in part.
func (o *Output) write(lines []byte) (n int, err error) {
	if o.torn {
		if _, err := o.w.Write(newline); err != nil {
			return 0, err
		}
		o.torn = false
	}
	n, err = o.w.Write(lines)
	o.torn = n > 0 && lines[n-1] != '\n'
	return n, err
}
