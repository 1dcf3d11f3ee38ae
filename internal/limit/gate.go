package limit

import (
	"container/heap"
	"container/list"
	"time"
)

// A gate decides which connections may stay: it is the state of a Listener, with
// time as an argument and without locks. It knows connections by pointers only,
// and holds one record for each and one for each client that has any.
type gate struct {
	max, maxPerClient int // 0: no limit
	open              int
	members           map[Client]*member
	byLoad            loadHeap // the same members
}

// A member is a client that has connections.
type member struct {
	client Client
	open   int
	spare  list.List // of *place: those that serve nothing now, the oldest first
	index  int       // in the heap
}

// A place is what the gate knows of one connection.
type place struct {
	conn   *conn
	member *member       // nil for a trusted proxy's, which stands for many clients
	spare  *list.Element // in member.spare, or nil while it serves a request
	since  time.Time     // when it became spare
	gone   bool
}

// grace is how long a connection may be spare before it can be closed for one
// of another client that has no fewer. Without it, a flood of clients with a
// connection each would leave nobody the time for a handshake.
const grace = time.Second

func newGate(conns, perClient int) gate {
	return gate{max: conns, maxPerClient: perClient, members: make(map[Client]*member)}
}

// crowded reports whether the client has all the connections that it may have.
func (g *gate) crowded(c Client) bool {
	m := g.members[c]
	return m != nil && g.maxPerClient > 0 && m.open >= g.maxPerClient
}

// full reports whether there is no place left.
func (g *gate) full() bool { return g.max > 0 && g.open >= g.max }

// yield chooses a connection to be closed for one that the client c is about to
// open, when the gate is full, or nil if it is c's that has to go. It is the
// oldest spare one of the client with the most connections: at once if that one
// has more than c will have, and after the grace if it has as many. So whoever
// holds many connections without using them loses them first, and nobody can
// take the place of a client that has fewer than he.
func (g *gate) yield(c Client, now time.Time) *place {
	if len(g.byLoad) == 0 || g.byLoad[0].spare.Len() == 0 {
		return nil
	}
	most := g.byLoad[0]
	next := 1
	if m := g.members[c]; m != nil {
		next += m.open
	}
	oldest := most.oldest()
	if most.open > next || most.open == next && now.Sub(oldest.since) >= grace {
		return oldest
	}
	return nil
}

// add counts p as a connection of the client c, or of a trusted proxy.
func (g *gate) add(p *place, c Client, proxy bool) {
	g.open++
	if proxy {
		return
	}
	m := g.members[c]
	if m == nil {
		m = &member{client: c}
		g.members[c] = m
		heap.Push(&g.byLoad, m)
	}
	m.open++
	p.member = m
	heap.Fix(&g.byLoad, m.index)
}

// remove counts p no longer. Removing it again changes nothing.
func (g *gate) remove(p *place) {
	if p.gone {
		return
	}
	g.setSpare(p, false, time.Time{})
	p.gone = true
	g.open--
	m := p.member
	if m == nil {
		return
	}
	if m.open--; m.open > 0 {
		heap.Fix(&g.byLoad, m.index)
		return
	}
	heap.Remove(&g.byLoad, m.index)
	delete(g.members, m.client)
}

// setSpare notes that p serves nothing from now on, or that it serves something.
func (g *gate) setSpare(p *place, spare bool, now time.Time) {
	m := p.member
	if m == nil || p.gone || spare == (p.spare != nil) {
		return
	}
	if spare {
		p.since = now
		p.spare = m.spare.PushBack(p)
	} else {
		m.spare.Remove(p.spare)
		p.spare = nil
	}
	heap.Fix(&g.byLoad, m.index)
}

// oldest returns the connection that has been spare for the longest.
func (m *member) oldest() *place { return m.spare.Front().Value.(*place) }

// A loadHeap has the member at its top that has to yield first: one with spare
// connections, among them one with the most connections, among them the one with
// the oldest.
type loadHeap []*member

func (h loadHeap) Len() int { return len(h) }

func (h loadHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.spare.Len() == 0 || b.spare.Len() == 0 {
		return a.spare.Len() > b.spare.Len()
	}
	if a.open != b.open {
		return a.open > b.open
	}
	return a.oldest().since.Before(b.oldest().since)
}

func (h loadHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap.
func (h *loadHeap) Push(x any) {
	m := x.(*member)
	m.index = len(*h)
	*h = append(*h, m)
}

// Pop is for container/heap.
func (h *loadHeap) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return m
}
