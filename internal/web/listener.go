package web

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Listener accepts connections for an http.Server whose handler is [Serve]'s. It
// completes TLS handshakes before it returns a connection, and writes the constant
// headers of HTTP/1 answers. A refusal of net/http itself, before any handler runs,
// is sent like every other answer: with the security headers, a request id, a
// problem body and a log line. It cannot change two answers that net/http makes
// inside HTTP/2: the 431 for a header list over the advertised size, and the 400 for
// fields that HTTP/2 forbids.
//
// The http.Server must use its ConnContext and ConnState.
type Listener struct {
	inner     net.Listener
	config    *tls.Config   // nil: no TLS
	handshake time.Duration // bound on one handshake
	log       Log
	observer  Observer

	headers *headerBlock // of what net/http refuses
	results chan result
	pending sync.WaitGroup // the accept loop and handshakes under way

	closed, aborted context.Context
	close, abort    context.CancelFunc
}

// A result is what Accept returns.
type result struct {
	conn net.Conn
	err  error
}

// NewListener returns a Listener on inner. Without a config there is no TLS. A
// handshake takes at most the time handshake; one that fails is logged at debug
// level. Close the listener.
func NewListener(inner net.Listener, config *tls.Config, handshake time.Duration, log Log, observer Observer) *Listener {
	return newListener(inner, config, handshake, log, observer, newHeaderBlock(securityHeaders()))
}

func newListener(inner net.Listener, config *tls.Config, handshake time.Duration, log Log, observer Observer, block *headerBlock) *Listener {
	l := &Listener{
		inner: inner, config: config, handshake: handshake, log: log, observer: observer,
		headers: block, results: make(chan result),
	}
	l.closed, l.close = context.WithCancel(context.Background())
	l.aborted, l.abort = context.WithCancel(context.Background())
	l.pending.Go(l.accept)
	go func() {
		l.pending.Wait()
		close(l.results)
	}()
	return l
}

// Accept returns the next connection that is ready for requests. After Close it
// still returns those whose handshakes were under way.
func (l *Listener) Accept() (net.Conn, error) {
	r, ok := <-l.results
	if !ok {
		return nil, net.ErrClosed
	}
	return r.conn, r.err
}

// Close stops accepting.
func (l *Listener) Close() error {
	l.close()
	return l.inner.Close()
}

// Abort closes the connections whose handshakes are under way. Call it after
// Close, to wait for them no longer.
func (l *Listener) Abort() { l.abort() }

// Addr returns the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// accept takes connections from the inner listener. Each handshake has a goroutine
// with a deadline, so that it does not delay the next client.
func (l *Listener) accept() {
	for {
		c, err := l.inner.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case l.results <- result{nil, err}: // the server waits before it accepts again
			case <-l.closed.Done():
				return
			}
			continue
		}
		l.pending.Go(func() { l.prepare(c) })
	}
}

// prepare completes the handshake of one connection and passes it to Accept.
func (l *Listener) prepare(raw net.Conn) {
	ctx, cancel := context.WithTimeout(l.aborted, l.handshake)
	defer cancel()
	defer context.AfterFunc(l.aborted, func() { _ = raw.Close() })()
	defer func() {
		if v := recover(); v != nil { // as net/http does: a handshake must not end the service
			_ = raw.Close()
			l.log.LogAttrs(ctx, slog.LevelError, "panic in a TLS handshake", slog.String("event", "panic"), panicValue(v), panicStack())
		}
	}()
	ready := net.Conn(&conn{Conn: raw, listener: l})
	if l.config != nil {
		secured := tls.Server(&transport{Conn: raw}, l.config)
		if err := secured.HandshakeContext(ctx); err != nil {
			l.refuseHandshake(raw, err)
			return
		}
		state := secured.ConnectionState()
		l.observer.Handshake(state.Version, state.DidResume)
		switch state.NegotiatedProtocol {
		case "h2":
			ready = secured // net/http knows HTTP/2 by this type
		case "http/1.1", "":
			ready = &tlsConn{conn{Conn: secured, listener: l}}
		default: // an ACME challenge, which the handshake has answered
			_ = secured.Close()
			return
		}
	}
	select {
	case l.results <- result{ready, nil}:
	case <-ctx.Done(): // Accept is no longer called
		_ = ready.Close()
	}
}

// refuseHandshake ends a connection that did not become TLS. A client that
// speaks plain HTTP here is told so.
func (l *Listener) refuseHandshake(raw net.Conn, err error) {
	shown := err
	if network, ok := errors.AsType[*net.OpError](err); ok {
		shown = network.Err // the rest names whole addresses
	}
	l.log.Debug("a TLS handshake failed", "event", "handshake", "error", shown)
	l.observer.HandshakeFailed(err.Error())
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		_ = raw.SetWriteDeadline(time.Now().Add(l.handshake))
		_ = l.refuse(raw, http.StatusBadRequest, "This port speaks HTTPS, and the request came without TLS.")
	}
	_ = raw.Close()
}

// looksLikeHTTP reports whether the first bytes of a connection are a method.
func looksLikeHTTP(start [5]byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "TRACE", "CONNE"}, string(start[:]))
}
