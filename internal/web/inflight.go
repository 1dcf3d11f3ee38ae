package web

import (
	"net/http"
	"sync/atomic"
	"time"
)

// An InFlight bounds how many requests are worked on at once: those that ask
// the store, not those whose client is still sending or reading, which a slow
// client could make last. What waits holds memory and a client's patience, so
// few wait, not for long, and the rest are told at once to come back.
type InFlight struct {
	slots   chan struct{}
	wait    time.Duration
	waiting atomic.Int64
}

// NewInFlight returns a bound of n requests, at least one. As many again may
// wait for a place, each for at most wait.
func NewInFlight(n int, wait time.Duration) *InFlight {
	return &InFlight{slots: make(chan struct{}, n), wait: wait}
}

// enter takes a place, waiting for it if that may be, or refuses. Who got one
// leaves it.
func (f *InFlight) enter(x *Exchange, r *http.Request) error {
	select {
	case f.slots <- struct{}{}:
		return nil
	default:
	}
	if !f.await(r) {
		return x.tooBusy()
	}
	return nil
}

// tooBusy is the refusal of what is over a bound of the whole service.
func (x *Exchange) tooBusy() error {
	x.limit = LimitInFlight
	return refusal{
		status: http.StatusServiceUnavailable,
		detail: "The service is too busy. Nothing was done; try again.",
		header: retryAfter(1),
	}
}

func (f *InFlight) leave() { <-f.slots }

// await waits for a place, unless too many do already.
func (f *InFlight) await(r *http.Request) bool {
	defer f.waiting.Add(-1)
	if f.waiting.Add(1) > int64(cap(f.slots)) {
		return false
	}
	patience := time.NewTimer(f.wait)
	defer patience.Stop()
	select {
	case f.slots <- struct{}{}:
		return true
	case <-patience.C:
	case <-r.Context().Done():
	}
	return false
}

// Now returns how many requests are worked on.
func (f *InFlight) Now() int { return len(f.slots) }
