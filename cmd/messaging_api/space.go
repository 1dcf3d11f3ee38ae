package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"messaging_api/internal/store"
)

const (
	// spaceEvery is how often Redis is asked how full it is.
	spaceEvery = 15 * time.Second
	// spaceKept is for how long its answer counts: one that is not confirmed for
	// so many rounds may be anything but true.
	spaceKept = 4 * spaceEvery
)

// A spaceWatch knows how full the store is. An embedded store says so at once; a
// Redis, which may hang, is asked in the background, so that no scrape waits.
type spaceWatch struct {
	messages messageStore
	log      *slog.Logger
	silent   bool // whether it was said that the store does not say; run's
	last     atomic.Pointer[spaceAnswer]
}

// A spaceAnswer is what Redis said.
type spaceAnswer struct {
	used, limit uint64
	at          time.Time
}

// now returns the bytes that the store uses and that it may use, as
// [store.Bolt.Space]: both are zero where that is not known.
func (w *spaceWatch) now() (used, limit uint64) {
	if b, ok := w.messages.(*store.Bolt); ok {
		return b.Space()
	}
	last := w.last.Load()
	if last == nil || time.Since(last.at) > spaceKept {
		return 0, 0
	}
	return last.used, last.limit
}

// run asks until ctx ends.
func (w *spaceWatch) run(ctx context.Context) {
	r, ok := w.messages.(*store.Redis)
	for ok && ctx.Err() == nil {
		w.ask(ctx, r)
		pause(ctx, spaceEvery)
	}
}

// ask says once that the store does not answer: a user without the right to
// INFO, as with rules of an older version, lacks nothing but these figures.
func (w *spaceWatch) ask(ctx context.Context, r *store.Redis) {
	used, limit, err := r.Space(ctx)
	if err == nil {
		w.last.Store(&spaceAnswer{used, limit, time.Now()})
	} else if !w.silent && ctx.Err() == nil {
		w.log.Info("the store does not say how full it is", "event", "store_space", "error", err)
	}
	w.silent = err != nil
}
