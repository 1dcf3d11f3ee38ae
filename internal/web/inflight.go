package web

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// An InFlight bounds the requests under way in two ways. It bounds their memory for
// as long as they last. And it bounds how many ask the store at once, in slots. A
// request that waits for its client holds no slot.
type InFlight struct {
	memory

	client   func(netip.Addr) Client
	slots    chan struct{}
	patience time.Duration
	queued   atomic.Int64 // requests that wait for a slot
}

// NewInFlight returns a bound of n slots, at least one. As many requests may wait
// for a slot, each for at most patience. Bodies have at most maxBytes. Client says
// which client has an address.
func NewInFlight(n int, patience time.Duration, maxBytes int64, client func(netip.Addr) Client) *InFlight {
	return &InFlight{memory: newMemory(maxBytes), client: client, slots: make(chan struct{}, n), patience: patience}
}

// enter counts x as under way, or refuses it: at its start, and again to answer a
// request that was cut.
func (f *InFlight) enter(x *Exchange) error {
	x.client = f.client(x.sender)
	if f.reserve(x, requestCost) {
		return nil
	}
	err := x.tooBusy()
	if x.transport != nil {
		// The client could leave answers that are not counted on any number of streams.
		x.status = http.StatusServiceUnavailable
		panic(http.ErrAbortHandler)
	}
	return err
}

// flush waits until the client has taken the answer, or its time is over. Otherwise
// net/http waits after the handler has returned, where the answer is not counted. A
// flush costs a frame of HTTP/2, so the first answer of a connection since it was
// idle is not flushed.
func (f *InFlight) flush(x *Exchange) {
	if !x.parallel {
		return
	}
	f.setWait(x, forReader)
	control := http.NewResponseController(x.w)
	grace := smallGrace
	if x.bytes > largeAnswer {
		grace = answerGrace
	}
	_ = control.SetWriteDeadline(time.Now().Add(grace))
	if !x.cut.Load() {
		_ = control.Flush() // an error means that the client has gone
	}
}

// withSlot calls ask with a slot of the store, or returns a refusal.
func (f *InFlight) withSlot(x *Exchange, r *http.Request, ask func() error) error {
	select {
	case f.slots <- struct{}{}:
	default:
		if !f.await(r) {
			return x.tooBusy()
		}
	}
	defer func() { <-f.slots }()
	return ask()
}

// await waits for a slot, unless too many requests already do.
func (f *InFlight) await(r *http.Request) bool {
	defer f.queued.Add(-1)
	if f.queued.Add(1) > int64(cap(f.slots)) {
		return false
	}
	timer := time.NewTimer(f.patience)
	defer timer.Stop()
	select {
	case f.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-r.Context().Done():
	}
	return false
}

// tooBusy is the refusal of a request over a bound of the whole service. It was
// charged to no budget, so the log may suppress its line.
func (x *Exchange) tooBusy() error {
	x.limit, x.charged = LimitInFlight, false
	return errTooBusy
}

var errTooBusy = constant(http.StatusServiceUnavailable, "The service is too busy. Nothing was done; try again.").with("Retry-After", "1")

// Now returns how many requests ask the store.
func (f *InFlight) Now() int { return len(f.slots) }
