package main

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"messaging_api/internal/message"
)

// outageEnd is how long a store has to have failed no call before it counts as
// back: one that answers every other call would otherwise fill the log.
const outageEnd = time.Second

// An outageLog logs once that the store stopped answering, and once that it
// answers again. Requests, readiness checks and the store's monitor find that out.
type outageLog struct {
	log     *slog.Logger
	explain func(error) error // adds which setting to check
	lost    atomic.Bool       // whether the loss was logged; each request reads it without the lock

	mu     sync.Mutex // guards what follows, and changes of lost
	since  time.Time
	failed time.Time // the last time
}

// note takes how a call of the store ended, and returns its error, explained.
func (o *outageLog) note(err error, now time.Time) error {
	unavailable := errors.Is(err, message.ErrUnavailable)
	if !unavailable && !o.lost.Load() {
		return err
	}
	if unavailable {
		err = o.explain(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch lost := o.lost.Load(); {
	case unavailable && !lost:
		o.lost.Store(true)
		o.since, o.failed = now, now
		o.log.Error("the store does not answer", "event", "store_lost", "error", err)
	case unavailable:
		o.failed = now
	case lost && now.Sub(o.failed) >= outageEnd:
		o.lost.Store(false)
		o.log.Info("the store answers again", "event", "store_back", "lost_for", now.Sub(o.since).Round(time.Millisecond).String())
	}
	return err
}
