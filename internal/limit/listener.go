package limit

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A Listener lets in only as many connections as it may, before any of them
// costs a TLS handshake, and closes the others at once. It never blocks Accept,
// unlike netutil.LimitListener, of which one client can hold every slot.
//
// When all places are taken, the oldest connection that serves no request, of
// the client with the most connections, goes to make room for a client with
// fewer. For this ConnState has to be the server's.
type Listener struct {
	net.Listener
	// Observer is told of each connection; nil: nobody is. It is set before the
	// first Accept.
	Observer Observer

	resolver *Resolver
	table    *Table

	mu    sync.Mutex // guards what follows
	gate  gate
	stats ConnStats
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

// ConnStats count connections since the start, but for Open, which is now.
type ConnStats struct {
	Open              int
	Accepted          uint64
	RefusedTotal      uint64 // no place, and none to be made
	RefusedClient     uint64 // the client had all its places
	RefusedHandshakes uint64 // the client's handshake budget was spent
	Displaced         uint64 // accepted, and closed to make room
}

// NewListener returns a Listener on top of inner with at most conns
// connections, and perClient from each client (0: no limit), whose Handshake
// budget is in table. A trusted proxy's connections count only in the total,
// and do not have to make room: they may be anyone's.
func NewListener(inner net.Listener, resolver *Resolver, table *Table, conns, perClient int) *Listener {
	return &Listener{Listener: inner, resolver: resolver, table: table, gate: newGate(conns, perClient)}
}

// Accept returns the next connection that is let in. Its errors are those of
// the listener below.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, listener: l}
		c.place.conn = c
		v := l.admit(c, time.Now())
		l.tell(v)
		if v.displaced != nil {
			_ = v.displaced.Close() // it is gone either way
		}
		if v.refused == "" {
			return c, nil
		}
		refuse(raw)
	}
}

// A verdict is what becomes of a connection, and of another one for its sake.
type verdict struct {
	client    Client // whose connection it is
	refused   string // which limit did; empty: it was let in
	displaced *conn  // that has to go, or nil
	loser     Client // whose that was
}

// tell passes a verdict on, outside of any lock.
func (l *Listener) tell(v verdict) {
	if l.Observer == nil {
		return
	}
	l.Observer.Accepted()
	if v.refused != "" {
		l.Observer.Turned(v.refused, v.client)
	}
	if v.displaced != nil {
		l.Observer.Turned(Displaced, v.loser)
	}
}

// admit decides about c, and about another connection that has to go for it.
func (l *Listener) admit(c *conn, now time.Time) (v verdict) {
	peer := peerOf(c)
	proxy := l.resolver.Trusted(peer)
	client := l.resolver.Of(peer)
	v.client = client
	l.mu.Lock()
	defer l.mu.Unlock()
	if !proxy && l.gate.crowded(client) {
		l.stats.RefusedClient++
		v.refused = ConnsPerClient
		return v
	}
	var victim *place
	if l.gate.full() {
		if !proxy {
			victim = l.gate.yield(client, now)
		}
		if victim == nil {
			l.stats.RefusedTotal++
			v.refused = Conns
			return v
		}
	}
	// Last, so that a connection that is refused anyway costs no token, and one
	// that has none makes nobody yield.
	if !proxy && !l.table.Take(client, Handshake, 1, now).Allowed {
		l.stats.RefusedHandshakes++
		v.refused = HandshakesPerClient
		return v
	}
	if victim != nil {
		v.displaced, v.loser = victim.conn, victim.member.client
		l.gate.remove(victim)
		l.stats.Displaced++
	}
	l.gate.add(&c.place, client, proxy)
	l.stats.Accepted++
	return v
}

// peerOf returns the address at the other end of a connection, or the zero Addr
// where it has none.
func peerOf(conn net.Conn) netip.Addr {
	switch a := conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr()
	case nil:
		return netip.Addr{}
	default:
		addr, _ := parseHop(a.String())
		return addr
	}
}

// refuse closes a connection that was not let in with a reset, which leaves
// nothing of it in the kernel either.
func refuse(raw net.Conn) {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the worst is an orderly close
	}
	_ = raw.Close() // it is gone either way
}

// ConnState is for http.Server.ConnState, and tells the listener which of its
// connections serve nothing: those that have not got as far as a request, be it
// in the handshake or in the header, and those idle since their last one. Only
// these make room for others; without this hook none does.
func (l *Listener) ConnState(nc net.Conn, state http.ConnState) {
	c := unwrap(nc)
	if c == nil || c.listener != l {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate.setSpare(&c.place, state == http.StateNew || state == http.StateIdle, time.Now())
}

// unwrap returns the connection that this package made, under *tls.Conn and
// whatever else shows what it stands on, or nil.
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

// Stats returns the counts.
func (l *Listener) Stats() ConnStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.stats
	st.Open = l.gate.open
	return st
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
	place    place // guarded by listener.mu
}

// Close closes the connection and gives its place back, once.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.gate.remove(&c.place)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends this side of the connection, where the one below can.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
