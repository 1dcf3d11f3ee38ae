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

// Lines of many goroutines are written whole and in the order of each goroutine, in far
// fewer writes. Close writes the last ones.
func TestStreamGathersLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		writes := 0
		q := NewStream(writerFunc(func(p []byte) (int, error) {
			writes++
			return text.Write(p)
		}))
		const writers, each = 20, 500
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					write(t, q, fmt.Sprintf("%d %d\n", w, i))
				}
			})
		}
		all.Wait()
		if err := q.Close(); err != nil {
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
		if writes > 2 {
			t.Errorf("got %d writes for %d lines within the time of one", writes, writers*each)
		}
		write(t, q, "late\n")
		if err := q.Close(); !errors.Is(err, os.ErrClosed) || q.Lost() != 1 {
			t.Errorf("closed again after a late line: got %v and %d lost lines, want %v and 1", err, q.Lost(), os.ErrClosed)
		}
	})
}

// A line waits for others no longer than the time to gather.
func TestStreamWritesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at time.Time
		q := NewStream(writerFunc(func(p []byte) (int, error) {
			at = time.Now()
			return len(p), nil
		}))
		for range 3 {
			sleep(time.Minute + time.Millisecond)
			start := time.Now()
			write(t, q, "x\n")
			sleep(time.Minute)
			if took := at.Sub(start); took != gatherTime {
				t.Errorf("written after %v, want %v", took, gatherTime)
			}
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A reader that stops reading does not delay Write. Lines beyond the queue's size are lost
// and counted; the others are written when it goes on.
func TestStreamToAReaderThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		var text bytes.Buffer
		q := NewStream(writerFunc(func(p []byte) (int, error) {
			<-held
			return text.Write(p)
		}))
		l := strings.Repeat("x", 1023) + "\n"
		write(t, q, l)
		sleep(time.Second) // the writer has this one
		const more = 2 * queueSize / 1024
		for range more {
			write(t, q, l)
		}
		lost := q.Lost()
		if lost < more/2 || lost > more/2+1 {
			t.Errorf("of %d lines %d are lost, want half of them", more, lost)
		}
		if err := q.Close(); err == nil {
			t.Error("Close of a stream that takes nothing: got no error")
		}
		close(held)
		synctest.Wait()
		if got, want := uint64(bytes.Count(text.Bytes(), newline)), 1+more-lost; got != want {
			t.Errorf("got %d lines in the end, want %d", got, want)
		}
	})
}

// Lines that the stream does not take are counted, and the next ones are written.
func TestStreamThatFails(t *testing.T) {
	for _, tc := range []struct {
		name string
		took int
		text string
		lost uint64
	}{
		{"nothing", 0, "four\n", 3},
		{"whole lines", 4, "one\nfour\n", 2},
		{"a part of a line", 6, "one\ntw\nfour\n", 2},
		{"all, and an error", 14, "one\ntwo\nthree\nfour\n", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := true
				var text bytes.Buffer
				q := NewStream(writerFunc(func(p []byte) (int, error) {
					if broken {
						n, _ := text.Write(p[:tc.took])
						return n, io.ErrShortWrite
					}
					return text.Write(p)
				}))
				write(t, q, "one\ntwo\nthree\n")
				sleep(20 * time.Millisecond)
				broken = false
				write(t, q, "four\n")
				if err := q.Close(); err != nil {
					t.Error(err)
				}
				if got := text.String(); got != tc.text || q.Lost() != tc.lost {
					t.Errorf("got %q and %d lost lines, want %q and %d", got, q.Lost(), tc.text, tc.lost)
				}
			})
		})
	}
}

// An unusually large buffer is not kept.
func TestQueueLetsALargeBufferGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewStream(io.Discard)
		write(t, q, strings.Repeat("x", queueSize/2)+"\n")
		sleep(time.Second)
		write(t, q, "x\n")
		sleep(time.Second)
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if got := cap(q.lines) + cap(q.batch); got > keptBuffer {
			t.Errorf("the idle queue holds %d bytes, want at most %d", got, keptBuffer)
		}
	})
}
