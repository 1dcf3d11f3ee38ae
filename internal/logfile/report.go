package logfile

import (
	"log/slog"
	"sync"
	"time"
)

// reportEvery is how often a reporter logs at most.
const reportEvery = time.Minute

// A reporter counts lost lines. It logs them, and what keeps lines from being written.
type reporter struct {
	log *slog.Logger

	mu       sync.Mutex // guards what follows
	err      error      // why lines are not written, or old logs not deleted
	lost     uint64
	reported struct { // err and lost, when they were last logged
		err  error
		lost uint64
		at   time.Time
	}
}

// lose counts lines that will never be written. It reports them itself, because the
// queue's goroutine may hang in the disk.
func (r *reporter) lose(lines int) {
	if lines <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += uint64(lines)
	r.report(reportEvery)
}

// set says why lines are not written, or nil.
func (r *reporter) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.report(reportEvery)
}

// last reports what was not yet reported.
func (r *reporter) last() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report(0)
}

// report logs if there is news and the last report is at least so old. The caller holds mu.
func (r *reporter) report(age time.Duration) {
	lost := r.lost - r.reported.lost
	if r.err == nil && r.reported.err == nil && lost == 0 || time.Since(r.reported.at) < age {
		return
	}
	r.reported.err, r.reported.lost, r.reported.at = r.err, r.lost, time.Now()
	switch attrs := []any{"event", "log_file", "lost_lines", lost}; {
	case r.err != nil:
		r.log.Error("log file: lines are not written", append(attrs, "error", r.err)...)
	case lost > 0:
		r.log.Error("log file: lines were lost, and are written again", attrs...)
	default:
		r.log.Info("log file: lines are written again", attrs...)
	}
}

func (r *reporter) count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}
