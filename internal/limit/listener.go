package limit

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Listener lets in only as many connections as it may, before any of them
// costs a TLS handshake, and closes the others at once. Accept never blocks for
// want of room. When there is none, a connection of a client with many makes room
// for one of a client with fewer; see gate.victim. So that it knows what each is
// doing, ConnState has to be the server's.
type Listener struct {
	net.Listener
	// Observer is told of each connection; nil: none. It is set before the
	// first Accept.
	Observer Observer

	resolver *Resolver
	table    *Table

	mu   sync.Mutex // guards gate
	gate gate
}

// An Observer is told of connections. It is safe for concurrent use and
// returns at once, since the next connection waits for it.
type Observer interface {
	// Accepted tells of a connection from the network, before any limit.
	Accepted()
	// Turned tells of a connection that this client lost to one of [Admissions].
	Turned(admission string, c Client)
}

// The limits by which connections are closed, in the words of the flags that set
// them. Displaced ones had been let in, and make room for other clients.
const (
	Conns               = "conns"
	ConnsPerClient      = "conns-per-client"
	HandshakesPerClient = "handshakes-per-client"
	Displaced           = "displaced"
)

// Admissions returns all of them.
func Admissions() []string { return []string{Conns, ConnsPerClient, HandshakesPerClient, Displaced} }

// NewListener returns a Listener on top of inner with at most conns
// connections, and perClient from each client (0: no limit), each of which takes
// one from the client's Handshake budget in table. A trusted proxy's connections
// count only in the total, and make no room, since they may serve any client.
func NewListener(inner net.Listener, resolver *Resolver, table *Table, conns, perClient int) *Listener {
	return &Listener{Listener: inner, resolver: resolver, table: table, gate: newGate(conns, perClient)}
}

// Accept returns the next connection that is let in. Its errors are those of the
// inner listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, listener: l}
		peer := l.resolver.Sender(raw.RemoteAddr().String(), nil)
		client := l.resolver.Of(peer)
		refused, victim := l.admit(c, client, l.resolver.Trusted(peer), time.Now())
		if l.Observer != nil {
			l.Observer.Accepted()
		}
		if victim != nil {
			l.turned(Displaced, victim.holder.client)
			_ = victim.Close() // it is closed either way
		}
		if refused == "" {
			return c, nil
		}
		l.turned(refused, client)
		refuse(raw)
	}
}

// turned tells the observer of a connection that the client lost.
func (l *Listener) turned(admission string, client Client) {
	if l.Observer != nil {
		l.Observer.Turned(admission, client)
	}
}

// admit decides about c, a connection of this client or of a proxy. It returns the
// limit that refused it, or lets it in and returns the connection that makes room
// for it, if one has to.
func (l *Listener) admit(c *conn, client Client, proxy bool, now time.Time) (refused string, victim *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !proxy && l.gate.atLimit(client) {
		return ConnsPerClient, nil
	}
	if l.gate.full() {
		if !proxy {
			victim = l.gate.victim(client, now)
		}
		if victim == nil {
			return Conns, nil
		}
	}
	// Last: a connection that is refused anyway costs no token, and one without a
	// token closes no other.
	if !proxy && !l.table.Take(client, now, Cost{Budget: Handshake, N: 1})[0].Allowed {
		return HandshakesPerClient, nil
	}
	if victim != nil {
		l.gate.remove(victim)
	}
	l.gate.add(c, client, proxy, now)
	return "", victim
}

// refuse closes a connection that was not let in. It sends a reset, so that
// nothing of the connection stays in the kernel.
func refuse(raw net.Conn) {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the worst is an orderly close
	}
	_ = raw.Close() // it is closed either way
}

// ConnState is for http.Server.ConnState. It tells the listener what each of its
// connections is doing. Until the first call a connection is in its handshake,
// because the server hears of it only afterwards.
func (l *Listener) ConnState(nc net.Conn, state http.ConnState) {
	c := unwrap(nc)
	if c == nil || c.listener != l {
		return
	}
	p := active // a hijacked connection too
	switch state {
	case http.StateNew:
		p = inHeader
	case http.StateIdle:
		p = idle
	case http.StateActive, http.StateHijacked, http.StateClosed:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate.setPhase(c, p, time.Now())
}

// unwrap returns the connection of this package that nc is or wraps, or nil. It
// looks through every type with a NetConn method, such as *tls.Conn.
func unwrap(nc net.Conn) *conn {
	for {
		if c, ok := nc.(*conn); ok {
			return c
		}
		upper, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = upper.NetConn()
	}
}

// Open returns how many connections are open.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gate.open
}

// A conn is a connection that has been let in.
type conn struct {
	net.Conn
	listener *Listener

	// What the gate knows of it, guarded by listener.mu.
	holder  *holder // nil for a trusted proxy's connection, which stands for many clients
	phase   phase
	since   time.Time     // when it entered the phase
	element *list.Element // in holder.conns
	gone    bool
}

// Close closes the connection and makes room for another one, once.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.gate.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the writing side, if the connection underneath can.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
