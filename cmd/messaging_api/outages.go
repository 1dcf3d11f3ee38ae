package main

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"messaging_api/internal/message"
)

// outageEnd is how long no call must fail before an outage counts as over. Otherwise a
// store that answers every other call would fill the log.
const outageEnd = time.Second

// An outageLog logs once that the store stopped answering, and once that it
// answers again. Requests, readiness checks and the store's monitor tell it.
type outageLog struct {
	log     *slog.Logger
	explain func(error) error // adds the flag to check

	mu     sync.Mutex // guards what follows
	lost   bool       // whether an outage was logged
	since  time.Time  // its beginning
	failed time.Time  // the last failure
}

// note records the result of a store call, and returns its error with an explanation.
func (o *outageLog) note(err error, now time.Time) error {
	unavailable := errors.Is(err, message.ErrUnavailable)
	if unavailable {
		err = o.explain(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case unavailable && !o.lost:
		o.lost, o.since, o.failed = true, now, now
		o.log.Error("the store does not answer", "event", "store_lost", "error", err)
	case unavailable:
		o.failed = now
	case o.lost && now.Sub(o.failed) >= outageEnd:
		o.lost = false
		o.log.Info("the store answers again", "event", "store_back", "lost_for", now.Sub(o.since).Round(time.Millisecond).String())
	}
	return err
}
