package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Lines of many writers are all there, whole and each writer's in its order, in far
// fewer writes; and Close leaves none behind.
func TestOutputGathersLines(t *testing.T) {
	var text bytes.Buffer
	writes := 0
	o := NewOutput(writerFunc(func(p []byte) (int, error) {
		writes++
		return text.Write(p)
	}))
	const writers, each = 20, 500
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := fmt.Fprintf(o, "%d %d\n", w, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	next := make(map[int]int)
	for l := range strings.Lines(text.String()) {
		var w, i int
		if n, err := fmt.Sscanf(l, "%d %d\n", &w, &i); n != 2 || err != nil || next[w] != i {
			t.Fatalf("got the line %q, want writer %d's number %d", l, w, next[w])
		}
		next[w]++
	}
	for w := range writers {
		if next[w] != each {
			t.Errorf("writer %d: got %d lines, want %d", w, next[w], each)
		}
	}
	if writes > writers*each/10 {
		t.Errorf("got %d writes for %d lines", writes, writers*each)
	}
	if _, err := io.WriteString(o, "late\n"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, os.ErrClosed)
	}
	if err := o.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed again: got %v, want %v", err, os.ErrClosed)
	}
}

// A line waits for others no longer than the time to gather.
func TestOutputWritesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at time.Time
		o := NewOutput(writerFunc(func(p []byte) (int, error) {
			at = time.Now()
			return len(p), nil
		}))
		for range 3 {
			time.Sleep(time.Minute) //nolint:forbidigo // in a bubble
			start := time.Now()
			_, _ = io.WriteString(o, "x\n")
			time.Sleep(time.Minute) //nolint:forbidigo // in a bubble
			synctest.Wait()
			if took := at.Sub(start); took != linger {
				t.Errorf("written after %v, want %v", took, linger)
			}
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A writer that stands still holds up nobody. What is more than memory may hold is
// lost and counted, the rest is written when it goes on.
func TestOutputOfAWriterThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		var text bytes.Buffer
		o := NewOutput(writerFunc(func(p []byte) (int, error) {
			<-held
			return text.Write(p)
		}))
		l := []byte(strings.Repeat("x", 1023) + "\n")
		_, _ = o.Write(l)
		time.Sleep(time.Second) //nolint:forbidigo // in a bubble: the writer has this one
		const more = 2 * queueSize / 1024
		refused := uint64(0)
		for range more {
			if _, err := o.Write(l); err != nil {
				refused++
			}
		}
		if refused == 0 || o.Lost() != refused {
			t.Errorf("%d lines were refused and %d are lost", refused, o.Lost())
		}
		if err := o.Close(); err == nil {
			t.Error("Close of an Output that stands still says nothing")
		}
		close(held)
		synctest.Wait()
		if got, want := uint64(bytes.Count(text.Bytes(), newline)), 1+more-refused; got != want {
			t.Errorf("got %d lines in the end, want %d", got, want)
		}
	})
}

// Lines that the writer refuses are counted, and the next ones are tried.
func TestOutputOfAWriterThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		var text bytes.Buffer
		o := NewOutput(writerFunc(func(p []byte) (int, error) {
			if broken {
				n, _ := text.Write(p[:5])
				return n, io.ErrShortWrite
			}
			return text.Write(p)
		}))
		_, _ = io.WriteString(o, "one\ntwo\nthree\n")
		time.Sleep(time.Second) //nolint:forbidigo // in a bubble
		synctest.Wait()
		broken = false
		_, _ = io.WriteString(o, "four\n")
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		if got, want := text.String(), "one\nt\nfour\n"; got != want || o.Lost() != 2 {
			t.Errorf("got %q and %d lost lines, want %q and 2", got, o.Lost(), want)
		}
	})
}

// writerFunc is a function that is a writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
