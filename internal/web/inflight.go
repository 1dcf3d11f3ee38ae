package web

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// An InFlight bounds the requests under way, in two ways. Their memory is bounded
// for as long as they last. And few ask the store at once: what waits for it holds
// memory and a client's patience, so few wait, not for long, and the others are
// told to try again. A request that waits for its client, to send a body or to
// take an answer, holds no slot of the store.
type InFlight struct {
	memory

	client  func(netip.Addr) Client
	slots   chan struct{}
	wait    time.Duration
	waiting atomic.Int64
}

// NewInFlight returns a bound of n requests that ask the store at once, at least
// one. As many again may wait for a slot, each for at most wait. Bodies have at
// most maxBytes. Client says whose request it is that came from an address.
func NewInFlight(n int, wait time.Duration, maxBytes int64, client func(netip.Addr) Client) *InFlight {
	return &InFlight{
		memory: newMemory(maxBytes),
		client: client, slots: make(chan struct{}, n), wait: wait,
	}
}

// enter counts x as under way, or refuses it: at its begin, and again when it was
// cut and is to be answered. A nil InFlight counts nothing.
func (f *InFlight) enter(x *Exchange) error {
	if f == nil {
		return nil
	}
	x.client = f.client(x.sender)
	if f.reserve(x, requestCost) {
		return nil
	}
	err := x.tooBusy()
	if x.transport != nil {
		// An answer that is not counted could wait for as long as its client likes,
		// on as many streams as the client has. HTTP/1 has one of a connection.
		x.status = http.StatusServiceUnavailable
		panic(http.ErrAbortHandler)
	}
	return err
}

// leave ends what enter began.
func (f *InFlight) leave(x *Exchange) {
	if f != nil {
		f.release(x, 0)
	}
}

// setWait notes what x waits for from now on.
func (f *InFlight) setWait(x *Exchange, w wait) {
	if f != nil {
		f.memory.setWait(x, w)
	}
}

// flush waits until the client has taken the answer, or has had the time to.
// Without it net/http waits when the handler has returned, which nobody sees. It
// costs HTTP/2 a frame, so that a connection's first request since it was idle goes
// without.
func (f *InFlight) flush(x *Exchange) {
	w, ok := x.w.(interface {
		writeDeadliner
		FlushError() error
	})
	if !x.parallel || !ok {
		return
	}
	f.setWait(x, forReader)
	grace := smallGrace
	if x.bytes > largeAnswer {
		grace = answerGrace
	}
	_ = w.SetWriteDeadline(time.Now().Add(grace))
	if !x.cut.Load() {
		_ = w.FlushError() // its error is that the client has gone
	}
}

// acquire takes a slot of the store, waiting for it if that may be, or refuses.
// What acquired one releases it with free.
func (f *InFlight) acquire(x *Exchange, r *http.Request) error {
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

// tooBusy is the refusal of what is over a bound of the whole service. It costs
// the client nothing, so that the log may leave out its line in a flood.
func (x *Exchange) tooBusy() error {
	x.limit, x.granted = LimitInFlight, false
	return refusal{
		status: http.StatusServiceUnavailable,
		detail: "The service is too busy. Nothing was done; try again.",
		header: retryAfter(1),
	}
}

func (f *InFlight) free() { <-f.slots }

// await waits for a slot, unless too many do already.
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

// Now returns how many requests ask the store.
func (f *InFlight) Now() int { return len(f.slots) }
