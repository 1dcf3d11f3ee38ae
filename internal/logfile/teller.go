package logfile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A Report says that not all lines reach the file, or that they do again.
type Report struct {
	// Err is why lines are not written, or why old logs are not deleted, at the
	// time of the report; nil if all is well again. It names files, nothing of
	// what would be in them.
	Err error
	// Lost is how many lines have been lost since the previous report.
	Lost uint64
}

// LogTo returns a hook for [Config] that logs each report to logger, which must
// have somewhere else to write than this file.
func LogTo(logger *slog.Logger) func(Report) {
	return func(r Report) {
		level, msg := slog.LevelError, "log file: not all is written"
		reason := "none: all is written again"
		if r.Err != nil {
			reason = r.Err.Error()
		} else if r.Lost == 0 {
			level, msg = slog.LevelInfo, "log file: written again"
		}
		logger.LogAttrs(context.Background(), level, msg,
			slog.String("event", "log_file"), slog.Uint64("lost_lines", r.Lost), slog.String("error", reason))
	}
}

// quiet is how long a teller says nothing after it has said something.
const quiet = time.Minute

// A teller passes on what goes wrong: at once, and then no more often than once a
// minute. It is a goroutine of its own, since the one that writes may hang in the
// very disk that there is something to say of.
type teller struct {
	say     func(Report)
	lost    atomic.Uint64
	changed chan struct{} // holds a token if there may be something to say

	mu       sync.Mutex // guards what follows
	writing  error      // why lines are not written
	deleting error      // why old logs are not deleted

	told Report // what run has said last, Lost being the sum; run's own
}

func newTeller(say func(Report)) *teller {
	return &teller{say: say, changed: make(chan struct{}, 1)}
}

// lose counts lines that will never be in the file.
func (t *teller) lose(lines int) {
	if lines > 0 {
		t.lost.Add(uint64(lines))
		token(t.changed)
	}
}

// setWriting says whether lines are written.
func (t *teller) setWriting(err error) { t.set(&t.writing, err) }

// setDeleting says whether old logs are deleted.
func (t *teller) setDeleting(err error) { t.set(&t.deleting, err) }

func (t *teller) set(which *error, err error) {
	t.mu.Lock()
	*which = err
	t.mu.Unlock()
	if err != nil {
		token(t.changed)
	}
}

// run says what there is to say until stop is closed, and then the rest.
func (t *teller) run(stop <-chan struct{}) {
	for {
		select {
		case <-t.changed:
		case <-stop:
			t.tell()
			return
		}
		for t.tell() {
			select {
			case <-time.After(quiet):
			case <-stop:
				t.tell()
				return
			}
		}
	}
}

// tell says how things stand, unless all is well and was when it was last said.
func (t *teller) tell() bool {
	t.mu.Lock()
	err := errors.Join(t.writing, t.deleting)
	t.mu.Unlock()
	lost := t.lost.Load()
	if err == nil && t.told.Err == nil && lost == t.told.Lost {
		return false
	}
	t.say(Report{Err: err, Lost: lost - t.told.Lost})
	t.told = Report{Err: err, Lost: lost}
	return true
}
