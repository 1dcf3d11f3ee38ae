package limit

import (
	"container/heap"
	"container/list"
	"time"
)

// A gate decides which connections may stay. It is the state of a Listener, with
// time as an argument and without locks.
type gate struct {
	max, maxPerClient int // 0: no limit
	open              int
	holders           map[Client]*holder // of the clients with connections
	byPhase           [phases]phaseHeap  // the holders with connections in each phase
}

// A holder is a client that has connections.
type holder struct {
	client Client
	open   int
	conns  [phases]list.List // of *conn, by phase: the one that is in it for the longest is first
	index  [phases]int       // in gate.byPhase, where conns is not empty
}

// A phase is what a connection is doing. The phases are in the order in which
// connections make room for others.
type phase int

const (
	inHandshake phase = iota // TLS is not established
	inHeader                 // no request has come yet
	idle                     // between two requests
	active                   // a request is being served
	phases      = iota
)

const (
	// grace is how long a connection may be in its phase before it can be closed
	// for a client that has no fewer connections. Without it, a flood of clients
	// with one connection each would leave no client the time for a handshake.
	grace = time.Second
	// activeGrace is how long a request may take before its connection can be
	// closed for another client. Without an end to it, slow bodies could fill the
	// gate as silent connections could.
	activeGrace = 5 * time.Second
)

func newGate(conns, perClient int) gate {
	g := gate{max: conns, maxPerClient: perClient, holders: make(map[Client]*holder)}
	for p := range phase(phases) {
		g.byPhase[p].phase = p
	}
	return g
}

// atLimit reports whether the client has all the connections that it may have.
func (g *gate) atLimit(c Client) bool {
	h := g.holders[c]
	return h != nil && g.maxPerClient > 0 && h.open >= g.maxPerClient
}

// full reports whether no connection more may be open.
func (g *gate) full() bool { return g.max > 0 && g.open >= g.max }

// victim chooses the connection to be closed for one that the client c is about
// to open while the gate is full, or nil if c's has to go.
//
// It looks at one phase after the other, and there at the client with the most
// connections in that phase, and of these at the oldest. That is the victim
//   - if its client has more connections than c would have: at once, or while it
//     serves a request after the activeGrace,
//   - if its client has as many, or it never sent a request: after the grace.
//
// So a client that holds many connections without using them loses them first,
// and one with few keeps those that it uses.
func (g *gate) victim(c Client, now time.Time) *conn {
	own := g.holders[c]
	next := 1
	if own != nil {
		next += own.open
	}
	for p := range phase(phases) {
		if g.byPhase[p].Len() == 0 {
			continue
		}
		most := g.byPhase[p].holders[0]
		open := most.open
		if most == own {
			open = next // c may give up a connection of its own
		}
		oldest := most.oldest(p)
		age := now.Sub(oldest.since)
		switch {
		case p == active:
			if open > next && age >= activeGrace {
				return oldest
			}
		case open > next, age >= grace && (open == next || p < idle):
			return oldest
		}
	}
	return nil
}

// add counts c as a connection of the client, or of a trusted proxy.
func (g *gate) add(c *conn, client Client, proxy bool, now time.Time) {
	g.open++
	if proxy {
		return
	}
	h := g.holders[client]
	if h == nil {
		h = &holder{client: client}
		g.holders[client] = h
	}
	h.open++
	c.holder = h
	g.enter(c, inHandshake, now)
}

// remove counts c no longer. Removing it again changes nothing.
func (g *gate) remove(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	g.open--
	h := c.holder
	if h == nil {
		return
	}
	g.leave(c)
	if h.open--; h.open == 0 {
		delete(g.holders, h.client)
	}
}

// setPhase notes what the connection does from now on.
func (g *gate) setPhase(c *conn, p phase, now time.Time) {
	if c.holder == nil || c.gone || c.phase == p {
		return
	}
	g.leave(c)
	g.enter(c, p, now)
}

func (g *gate) enter(c *conn, p phase, now time.Time) {
	h := c.holder
	c.phase, c.since = p, now
	c.element = h.conns[p].PushBack(c)
	if h.conns[p].Len() == 1 {
		heap.Push(&g.byPhase[p], h)
	} else {
		heap.Fix(&g.byPhase[p], h.index[p])
	}
}

func (g *gate) leave(c *conn) {
	h, p := c.holder, c.phase
	h.conns[p].Remove(c.element)
	if h.conns[p].Len() == 0 {
		heap.Remove(&g.byPhase[p], h.index[p])
	} else {
		heap.Fix(&g.byPhase[p], h.index[p])
	}
}

// oldest returns the connection that has been in the phase for the longest.
func (h *holder) oldest(p phase) *conn { return h.conns[p].Front().Value.(*conn) }

// A phaseHeap has at its top the holder with the most connections in the phase,
// and of those the one with the oldest.
type phaseHeap struct {
	phase   phase
	holders []*holder
}

func (p *phaseHeap) Len() int { return len(p.holders) }

func (p *phaseHeap) Less(i, j int) bool {
	a, b := p.holders[i], p.holders[j]
	if n, m := a.conns[p.phase].Len(), b.conns[p.phase].Len(); n != m {
		return n > m
	}
	return a.oldest(p.phase).since.Before(b.oldest(p.phase).since)
}

func (p *phaseHeap) Swap(i, j int) {
	p.holders[i], p.holders[j] = p.holders[j], p.holders[i]
	p.holders[i].index[p.phase], p.holders[j].index[p.phase] = i, j
}

// Push is for container/heap.
func (p *phaseHeap) Push(x any) {
	h := x.(*holder)
	h.index[p.phase] = len(p.holders)
	p.holders = append(p.holders, h)
}

// Pop is for container/heap.
func (p *phaseHeap) Pop() any {
	last := len(p.holders) - 1
	h := p.holders[last]
	p.holders[last] = nil
	p.holders = p.holders[:last]
	return h
}
