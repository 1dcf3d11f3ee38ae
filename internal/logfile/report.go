package logfile

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Report says that not all lines reach the file, or that they do again.
type Report struct {
	// Err is why lines are not written, or why old logs are not deleted; nil if
	// neither fails any more. It names files and never what is in them.
	Err error
	// Lost is how many lines were lost since the previous report.
	Lost uint64
}

// LogTo returns a hook for [Config] that logs each report to logger. The logger must
// not write to this file.
func LogTo(logger *slog.Logger) func(Report) {
	return func(r Report) {
		level, msg := slog.LevelError, "log file: lines are not written"
		reason := "none: lines are written again"
		if r.Err != nil {
			reason = r.Err.Error()
		} else if r.Lost == 0 {
			level, msg = slog.LevelInfo, "log file: lines are written again"
		}
		logger.LogAttrs(context.Background(), level, msg,
			slog.String("event", "log_file"), slog.Uint64("lost_lines", r.Lost), slog.String("error", reason))
	}
}

// reportEvery is how often a reporter calls its hook at most.
const reportEvery = time.Minute

// A reporter counts lost lines and reports them and errors to a hook.
type reporter struct {
	hook func(Report) // nil: count only

	mu           sync.Mutex // guards what follows, and calls of hook
	err          error
	lost         uint64
	reported     Report // the last one, with the sum of lost lines
	lastReported time.Time
}

// lose counts lines that will never be written. Callers report it, and not only the
// queue's goroutine, because that may hang in the disk.
func (r *reporter) lose(lines int) {
	if lines > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lost += uint64(lines)
		r.report(false)
	}
}

// set says why lines are not written, or nil.
func (r *reporter) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.report(false)
}

// last reports what was not yet reported.
func (r *reporter) last() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report(true)
}

// report calls the hook, if there is news and the last report is old enough or now is
// set. The caller holds mu.
func (r *reporter) report(now bool) {
	quiet := r.err == nil && r.reported.Err == nil && r.lost == r.reported.Lost
	if r.hook == nil || quiet || !now && time.Since(r.lastReported) < reportEvery {
		return
	}
	r.hook(Report{Err: r.err, Lost: r.lost - r.reported.Lost})
	r.reported = Report{Err: r.err, Lost: r.lost}
	r.lastReported = time.Now()
}

func (r *reporter) count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}
