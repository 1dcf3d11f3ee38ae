package web

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// LimitInFlight names the limit of [InFlight], to log lines and to an Observer.
const LimitInFlight = "in-flight"

// An InFlight bounds the requests under way in two ways. It bounds their memory for
// as long as they last. And it bounds how many ask the store at once, in slots. A
// request that waits for its client holds no slot.
type InFlight struct {
	memory

	client  func(netip.Addr) Client
	slots   chan struct{}
	maxWait time.Duration
	queued  atomic.Int64 // requests that wait for a slot
}

// NewInFlight returns a bound of n slots, at least one. As many requests may wait
// for a slot, each for at most maxWait. Bodies have at most maxBytes. Client returns
// the client that an address belongs to.
func NewInFlight(n int, maxWait time.Duration, maxBytes int64, client func(netip.Addr) Client) *InFlight {
	return &InFlight{memory: newMemory(maxBytes), client: client, slots: make(chan struct{}, n), maxWait: maxWait}
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
	_ = control.SetWriteDeadline(time.Now().Add(answerGrace))
	if !x.cut.Load() {
		_ = control.Flush() // an error means that the client has gone
	}
}

// acquire takes a slot of the store, for leave to give back, or returns a refusal.
func (f *InFlight) acquire(x *Exchange, r *http.Request) error {
	select {
	case f.slots <- struct{}{}:
		return nil
	default:
	}
	defer f.queued.Add(-1)
	if f.queued.Add(1) > int64(cap(f.slots)) {
		return x.tooBusy()
	}
	timer := time.NewTimer(f.maxWait)
	defer timer.Stop()
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-timer.C:
	case <-r.Context().Done():
	}
	return x.tooBusy()
}

// leave gives a slot back.
func (f *InFlight) leave() { <-f.slots }

// tooBusy is the refusal of a request over a bound of the whole service. It was
// charged to no budget, so the log may suppress its line.
func (x *Exchange) tooBusy() error {
	x.limit, x.charged = LimitInFlight, false
	return errTooBusy
}

var errTooBusy = constant(http.StatusServiceUnavailable, "The service is too busy. Nothing was done; try again.").with("Retry-After", "1")

// Now returns how many requests ask the store.
func (f *InFlight) Now() int { return len(f.slots) }

// What requests under way may hold in memory, in bytes. The limit is well below
// 1 GiB, a usual limit of a container: the collector and copies need room too.
const (
	memoryLimit = 128 << 20
	clientPart  = 8        // a client holds at most 1/clientPart of the limit, and one answer
	requestCost = 16 << 10 // a request's goroutine, buffers and header
	roomPart    = 64       // making room frees 1/roomPart of the limit
)

// A memory is the account of what requests under way hold, each from its header to
// the last byte of its answer. A client over its part is refused. When the
// limit is reached, requests that wait for their client are cut off: first those of
// the clients that hold the most, and of these the oldest.
type memory struct {
	limit, clientLimit int

	mu      sync.Mutex // guards what follows, and held of every exchange
	held    int
	clients map[Client]int     // bytes held
	waiting map[*Exchange]wait // for their clients
}

// A wait says what a request is waiting for its client to do.
type wait int

const (
	forNothing wait = iota
	forBody         // to send the rest of the body
	forReader       // to take the rest of the answer
)

// newMemory has room for two of the largest answers, so that one is always
// possible. JSON writes a control character as six bytes.
func newMemory(maxBytes int64) memory {
	largest := 6*int(maxBytes) + requestCost
	limit := max(memoryLimit, 2*largest)
	return memory{
		limit: limit, clientLimit: limit/clientPart + largest,
		clients: make(map[Client]int), waiting: make(map[*Exchange]wait),
	}
}

// reserve adds n bytes to what x holds, or reports that there is no room.
func (m *memory) reserve(x *Exchange, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ofClient := m.clients[x.client] + n
	if ofClient > m.clientLimit {
		return false
	}
	if m.held+n > m.limit {
		m.makeRoom(n, ofClient)
	}
	if m.held+n > m.limit {
		return false
	}
	m.add(x, n)
	return true
}

// release lets x hold no more than keep bytes.
func (m *memory) release(x *Exchange, keep int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if keep == 0 {
		delete(m.waiting, x)
	}
	m.add(x, min(keep-x.held, 0))
}

// add counts n bytes more, or fewer, for x.
func (m *memory) add(x *Exchange, n int) {
	m.held += n
	x.held += n
	if m.clients[x.client] += n; m.clients[x.client] == 0 {
		delete(m.clients, x.client)
	}
}

// setWait notes what x waits for from now on, unless x was cut.
func (m *memory) setWait(x *Exchange, w wait) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w == forNothing || x.held == 0 {
		delete(m.waiting, x)
	} else {
		m.waiting[x] = w
	}
}

// makeRoom cuts requests until n bytes more fit the limit, but only of clients that
// hold least bytes or more. It cuts somewhat more than needed, so that a flood does
// not sort for each request.
func (m *memory) makeRoom(n, least int) {
	var victims []*Exchange
	for x := range m.waiting {
		if m.clients[x.client] >= least {
			victims = append(victims, x)
		}
	}
	slices.SortFunc(victims, func(a, b *Exchange) int {
		return cmp.Or(cmp.Compare(m.clients[b.client], m.clients[a.client]), a.start.Compare(b.start))
	})
	for _, x := range victims {
		if m.held+n <= m.limit-m.limit/roomPart {
			return
		}
		w := m.waiting[x]
		delete(m.waiting, x)
		m.add(x, -x.held)
		x.cut.Store(true)
		x.interrupt(w)
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// interrupt makes the read or write fail in which x waits for its client. It
// returns at once.
func (x *Exchange) interrupt(w wait) {
	switch {
	case w == forBody:
		_ = http.NewResponseController(x.w).SetReadDeadline(longAgo)
	case x.transport != nil && x.transport.isOf(x.sender):
		// To end only the stream takes a frame, which has to wait if the client does
		// not read the connection.
		_ = x.transport.Close()
	default:
		_ = http.NewResponseController(x.w).SetWriteDeadline(longAgo)
	}
}

// isOf reports whether the client itself is at the other end: a proxy's
// connection carries requests of other clients too.
func (t *transport) isOf(sender netip.Addr) bool {
	peer, err := netip.ParseAddrPort(t.RemoteAddr().String())
	return err == nil && peer.Addr().Unmap().WithZone("") == sender
}
