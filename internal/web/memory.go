package web

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// What the requests under way hold in memory, in bytes. The limit is well below
// 1 GiB, a usual limit of a container, because the collector and the copies that
// parsing and sealing make need room too.
const (
	memoryLimit = 128 << 20
	clientPart  = 8        // one client holds at most this part of the limit, and one answer
	requestCost = 16 << 10 // a request's goroutine, buffers and header
	roomPart    = 64       // once requests are cut, this part of the limit becomes free
)

// largestAnswer is the size of the largest answer where a body has maxBytes: JSON
// writes a control character as six bytes.
func largestAnswer(maxBytes int64) int { return 6*int(maxBytes) + requestCost }

// A memory is the account of what requests under way hold: each from its header
// to the last byte of its answer. Without it clients that stand still, in the
// middle of a body or before an answer, fill the process.
//
// A client that holds its part is refused. When all clients together hold the
// limit, those that hold most make room for those that hold less: their requests
// that wait for the client are cut, the oldest first.
type memory struct {
	limit, clientLimit int

	mu      sync.Mutex // guards what follows, and the reservation of every exchange
	held    int
	waiting int                     // requests
	clients map[Client]clientMemory // that have requests under way
}

// A clientMemory is what the requests of one client hold.
type clientMemory struct {
	held           int
	oldest, newest *Exchange // of those that wait for the client
}

// A reservation is what one request holds.
type reservation struct {
	held         int
	waits        wait
	older, newer *Exchange // of the same client, while it waits
}

// A wait says what a request is waiting for its client to do.
type wait int

const (
	forNothing wait = iota
	forBody         // to send the rest of the body
	forReader       // to take the rest of the answer
)

// newMemory has room for at least two of the largest answers, so that one is
// always possible.
func newMemory(maxBytes int64) memory {
	largest := largestAnswer(maxBytes)
	limit := max(memoryLimit, 2*largest)
	return memory{limit: limit, clientLimit: limit/clientPart + largest, clients: make(map[Client]clientMemory)}
}

// reserve adds n bytes to what x holds, or reports that there is no room.
func (m *memory) reserve(x *Exchange, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clients[x.client].held+n > m.clientLimit {
		return false
	}
	if m.held+n > m.limit && !m.makeRoom(x.client, n) {
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
		m.setWaitLocked(x, forNothing)
	}
	m.add(x, min(keep-x.reserved.held, 0))
}

// add counts n bytes more, or fewer, for x.
func (m *memory) add(x *Exchange, n int) {
	m.held += n
	x.reserved.held += n
	c := m.clients[x.client]
	c.held += n
	if c.held == 0 {
		delete(m.clients, x.client)
		return
	}
	m.clients[x.client] = c
}

// setWait notes what x, which holds something, waits for from now on.
func (m *memory) setWait(x *Exchange, w wait) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setWaitLocked(x, w)
}

func (m *memory) setWaitLocked(x *Exchange, w wait) {
	r := &x.reserved
	if r.held == 0 || r.waits == w { // what was cut waits no more
		return
	}
	c := m.clients[x.client]
	if r.waits != forNothing {
		m.waiting--
		*link(&c.oldest, r.older, true) = r.newer
		*link(&c.newest, r.newer, false) = r.older
	}
	r.waits = w
	if w != forNothing {
		m.waiting++
		r.older, r.newer = c.newest, nil
		*link(&c.oldest, c.newest, true) = x
		c.newest = x
	}
	m.clients[x.client] = c
}

// link returns where the list of a client says what comes after x, or before it;
// where x is nil that is the end of the list.
func link(end **Exchange, x *Exchange, after bool) **Exchange {
	switch {
	case x == nil:
		return end
	case after:
		return &x.reserved.newer
	}
	return &x.reserved.older
}

// makeRoom cuts requests of the clients that hold most, until n bytes more fit
// the limit. It cuts somewhat more, so that a flood of requests does not sort the
// clients for each. No client makes room for one that would hold more.
func (m *memory) makeRoom(c Client, n int) bool {
	if m.waiting == 0 {
		return false
	}
	type holder struct {
		held   int
		oldest *Exchange
	}
	var most []holder
	for other, has := range m.clients {
		if other != c && has.oldest != nil && has.held >= m.clients[c].held+n {
			most = append(most, holder{has.held, has.oldest})
		}
	}
	slices.SortFunc(most, func(a, b holder) int { return cmp.Compare(b.held, a.held) })
	enough := m.limit - m.limit/roomPart - n
	for _, h := range most {
		for x := h.oldest; x != nil && m.held > enough; {
			newer := x.reserved.newer
			m.cut(x)
			x = newer
		}
	}
	return m.held+n <= m.limit
}

// cut ends the wait of x for its client and takes back what x holds.
func (m *memory) cut(x *Exchange) {
	w := x.reserved.waits
	m.setWaitLocked(x, forNothing)
	m.add(x, -x.reserved.held)
	x.cut.Store(true)
	x.interrupt(w)
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// interrupt makes the read or write fail in which x waits for its client. It
// returns at once.
func (x *Exchange) interrupt(w wait) {
	switch {
	case w == forBody:
		if c, ok := x.w.(readDeadliner); ok {
			_ = c.SetReadDeadline(longAgo)
		}
	case x.transport != nil && x.transport.isOf(x.sender):
		// To end the stream alone would take a frame, which waits where the client
		// does not read the connection either.
		_ = x.transport.Close()
	default:
		if c, ok := x.w.(writeDeadliner); ok {
			_ = c.SetWriteDeadline(longAgo)
		}
	}
}

// isOf reports whether the client itself is at the other end: a proxy's
// connection carries requests of other clients too.
func (c *transport) isOf(sender netip.Addr) bool {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	return err == nil && peer.Addr().Unmap().WithZone("") == sender
}
