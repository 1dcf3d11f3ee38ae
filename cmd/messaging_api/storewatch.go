package main

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"messaging_api/internal/message"
)

// calm is how long a store has to have failed nobody before it counts as back:
// one that answers every other call would otherwise fill the log.
const calm = time.Second

// A storeWatch says once that the store is lost, and once that it is back,
// whoever finds out: a request, or a probe of readiness.
type storeWatch struct {
	log  *slog.Logger
	lost atomic.Bool // whether it was said; read without the lock on the way of every request

	mu     sync.Mutex // guards what follows, and changes of lost
	since  time.Time
	failed time.Time // for the last time
}

// note draws the conclusion from how a call of the store ended.
func (w *storeWatch) note(err error, now time.Time) {
	unavailable := errors.Is(err, message.ErrUnavailable)
	if !unavailable && !w.lost.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch lost := w.lost.Load(); {
	case unavailable && !lost:
		w.lost.Store(true)
		w.since, w.failed = now, now
		w.log.Error("the store does not answer", "event", "store_lost", "error", err)
	case unavailable:
		w.failed = now
	case lost && now.Sub(w.failed) >= calm:
		w.lost.Store(false)
		w.log.Info("the store answers again", "event", "store_back", "lost_for", now.Sub(w.since).Round(time.Millisecond).String())
	}
}
