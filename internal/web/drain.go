package web

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A refusal goes out before its request's body was read. If the connection were
// closed then, the reset that unread bytes cause would often destroy the answer
// before its client, or a proxy, has read it. So the body is read and discarded,
// within these bounds, and the connection goes on where it was read whole.
const (
	drainBytes  = 8 << 20
	drainTime   = 10 * time.Second
	drainsInAll = 1024 // each has a buffer of 8 KiB
	drainsOfOne = 32
)

// drains counts the bodies that are being discarded. Its zero value is ready.
type drains struct {
	mu      sync.Mutex // guards what follows
	all     int
	clients map[netip.Addr]int // those that have one: no more than there are bodies
}

// start reports whether one more body of a client may be discarded. If so, done
// has to be called.
func (d *drains) start(sender netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	client := drainClient(sender)
	if d.all >= drainsInAll || d.clients[client] >= drainsOfOne {
		return false
	}
	if d.clients == nil {
		d.clients = make(map[netip.Addr]int)
	}
	d.all++
	d.clients[client]++
	return true
}

func (d *drains) done(sender netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	client := drainClient(sender)
	d.all--
	if d.clients[client]--; d.clients[client] == 0 {
		delete(d.clients, client)
	}
}

// drainClient returns whose share a drain takes: that of an IPv4 address or of an
// IPv6 /64.
func drainClient(sender netip.Addr) netip.Addr {
	if sender.Is6() && !sender.Is4In6() {
		if p, err := sender.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return sender
}

// connection discards what comes on a connection after its last answer, until the
// client closes it too.
func (d *drains) connection(c net.Conn, sender netip.Addr) {
	if !d.start(sender) {
		return
	}
	defer d.done(sender)
	_ = closeWrite(c)
	_ = c.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, c, drainBytes)
}

// unread reports whether a request that is refused with this status has a body that
// may still come. A client that waits for "100 Continue" sends none, and one that
// was too slow, or was cut, has had its time.
func (x *Exchange) unread(r *http.Request, status int) bool {
	return r.ContentLength != 0 && (x.reading || r.Header.Get("Expect") == "") &&
		status != http.StatusRequestTimeout && !x.cut.Load()
}

// prepareDrain prepares to discard the body after the answer, if there is a share
// left for that. Call it before the answer.
func (x *Exchange) prepareDrain(r *http.Request, status int) {
	if !x.unread(r, status) {
		return
	}
	// Otherwise net/http itself reads up to 256 KiB of the body before it sends the
	// answer, and closes where that is not all.
	if http.NewResponseController(x.w).EnableFullDuplex() != nil || !x.drains.start(x.sender) {
		return
	}
	x.draining = true
	if r.ContentLength > drainBytes {
		x.w.Header()["Connection"] = []string{"close"}
	}
}

// drain discards the rest of a refused request's body. In HTTP/1 it sends the
// answer first, so that a client that watches for it stops sending. In HTTP/2 the
// answer goes out after the body: curl loses an answer that ends before its request
// does, and Go's client stops sending at the answer's header and waits for the end.
func (x *Exchange) drain(r *http.Request) {
	if !x.draining {
		return
	}
	defer x.drains.done(x.sender)
	control := http.NewResponseController(x.w)
	if r.ProtoMajor == 1 {
		_ = control.Flush()
	}
	_ = control.SetReadDeadline(time.Now().Add(drainTime))
	_, err := io.CopyN(io.Discard, r.Body, drainBytes+1)
	if err != io.EOF && r.ProtoMajor == 1 { //nolint:errorlint // as io.Reader returns it
		// What is still to come must not be taken for the next request.
		panic(http.ErrAbortHandler)
	}
}
