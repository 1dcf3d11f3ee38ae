package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// An Output gathers lines for a writer to which each write is dear and may wait,
// as stdout is where a pipe leads to a collector: it makes one write of all
// that has come within [linger], and whoever logs never waits for it. Where the
// writer stands still a few megabytes of lines wait in memory; beyond that they
// are lost and counted. It is an io.WriteCloser for whole lines, safe for concurrent
// use.
type Output struct {
	w       io.Writer
	wake    chan struct{} // holds a token if lines have ceased to be none
	stop    chan struct{} // closed by Close
	written chan struct{} // closed when all is written that will be
	lost    atomic.Uint64 // lines

	mu     sync.Mutex // guards what follows
	lines  []byte
	closed bool
}

// NewOutput returns an Output to w. Close it.
func NewOutput(w io.Writer) *Output {
	o := &Output{w: w, wake: make(chan struct{}, 1), stop: make(chan struct{}), written: make(chan struct{})}
	go o.run()
	return o
}

// Write takes p, whole lines, and returns without waiting. An error means that
// p is lost: too much is waiting already, or the Output is closed.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, os.ErrClosed
	}
	if len(o.lines)+len(p) > queueSize {
		o.lose(p)
		return 0, errBehind
	}
	if len(o.lines) == 0 && len(p) > 0 {
		token(o.wake)
	}
	o.lines = append(o.lines, p...)
	return len(p), nil
}

var errBehind = errors.New("logfile: too much is waiting for the output")

// lose counts lines that will never be written.
func (o *Output) lose(p []byte) {
	if n := bytes.Count(p, newline); n > 0 {
		o.lost.Add(uint64(n))
	}
}

// Lost returns how many lines have not been written, and will not be.
func (o *Output) Lost() uint64 { return o.lost.Load() }

// Close writes what waits. It waits two seconds for a writer that stands still,
// and then says so. Lines that come afterwards are refused.
func (o *Output) Close() error {
	o.mu.Lock()
	closed := o.closed
	o.closed = true
	o.mu.Unlock()
	if closed {
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
	var spare []byte
	for open := true; open; {
		select {
		case <-o.wake:
			select {
			case <-time.After(linger):
			case <-o.stop:
			}
		case <-o.stop:
			open = false
		}
		spare = o.flush(spare)
	}
}

// flush writes what waits, and returns the memory in which it did. Meanwhile
// lines gather in spare.
func (o *Output) flush(spare []byte) []byte {
	o.mu.Lock()
	lines := o.lines
	o.lines = spare[:0]
	o.mu.Unlock()
	if len(lines) == 0 {
		return lines
	}
	n, err := o.w.Write(lines)
	if err != nil {
		o.lose(lines[n:])
	}
	return lines
}
