package web

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A Listener accepts connections for an http.Server whose handler is [Serve]'s,
// with two differences from a plain one. TLS handshakes are done before a
// connection is handed on. And what net/http itself refuses, before any handler
// runs (a malformed request, headers too large, a wrong expectation, plain HTTP
// on the TLS port), goes out like every other answer: with the security
// headers, a request id and a problem body. It does so by seeing the response
// bytes of HTTP/1 connections, which is why handshakes are its business.
//
// The http.Server must use its ConnContext and ConnState.
type Listener struct {
	inner     net.Listener
	config    *tls.Config   // nil: no TLS
	handshake time.Duration // bound on one handshake
	onFailure func(remote net.Addr, err error)

	headers []byte // the constant part of a refusal's head
	results chan result
	pending sync.WaitGroup // the accept loop and handshakes under way
	closed  sync.Once
	quit    chan struct{} // closed by Close
}

type result struct {
	conn net.Conn
	err  error
}

// NewListener returns a Listener on inner. Where config is nil connections are
// handed on as they are (TLS ends elsewhere). A failed handshake is reported to
// onFailure, which must not block. Close it.
func NewListener(inner net.Listener, config *tls.Config, handshake time.Duration, onFailure func(net.Addr, error)) *Listener {
	l := &Listener{
		inner:     inner,
		config:    config,
		handshake: handshake,
		onFailure: onFailure,
		results:   make(chan result),
		quit:      make(chan struct{}),
	}
	for _, h := range securityHeaders() {
		l.headers = append(l.headers, h.name+": "+h.value[0]+"\r\n"...)
	}
	l.pending.Go(l.accept)
	go func() {
		l.pending.Wait()
		close(l.results)
	}()
	return l
}

// Accept returns the next connection that is ready for requests. After Close it
// goes on until the handshakes then under way have ended: their clients were
// accepted and are not dropped.
func (l *Listener) Accept() (net.Conn, error) {
	r, ok := <-l.results
	if !ok {
		return nil, net.ErrClosed
	}
	return r.conn, r.err
}

// Close stops accepting. The first call counts.
func (l *Listener) Close() error {
	var err error
	l.closed.Do(func() {
		close(l.quit)
		err = l.inner.Close()
	})
	return err
}

// Addr returns the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// accept takes connections off the inner listener. A handshake must not hold up
// the next client, so each has its own goroutine, which ends at the latest when
// its time is over.
func (l *Listener) accept() {
	for {
		c, err := l.inner.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case l.results <- result{nil, err}: // the server backs off before it accepts again
				continue
			case <-l.quit:
				return
			}
		}
		l.pending.Go(func() { l.prepare(c) })
	}
}

// prepare brings one connection to where requests can be read, and hands it on.
func (l *Listener) prepare(raw net.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), l.handshake)
	defer cancel()
	ready := net.Conn(&conn{Conn: raw, headers: l.headers})
	if l.config != nil {
		secured := tls.Server(raw, l.config)
		if err := secured.HandshakeContext(ctx); err != nil {
			l.refuseHandshake(raw, err)
			return
		}
		if secured.ConnectionState().NegotiatedProtocol == "h2" {
			ready = secured // net/http knows HTTP/2 by this type
		} else {
			ready = &tlsConn{conn{Conn: secured, headers: l.headers}, secured}
		}
	}
	select {
	case l.results <- result{ready, nil}:
	case <-ctx.Done(): // nobody accepts any more
		_ = ready.Close()
	}
}

// refuseHandshake ends a connection that did not become TLS. A client that
// speaks plain HTTP here is told so.
func (l *Listener) refuseHandshake(raw net.Conn, err error) {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		_ = raw.SetWriteDeadline(time.Now().Add(l.handshake))
		_, _ = raw.Write(refusalBytes(l.headers, http.StatusBadRequest, "This port speaks HTTPS, and the request came without TLS."))
	}
	_ = raw.Close()
	l.onFailure(raw.RemoteAddr(), err)
}

// looksLikeHTTP reports whether the first bytes of a connection are a method.
func looksLikeHTTP(start [5]byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "TRACE", "CONNE"}, string(start[:]))
}

type connKey struct{}

// ConnContext is for http.Server: it lets Serve tell a connection that a
// handler has taken over.
func (l *Listener) ConnContext(ctx context.Context, c net.Conn) context.Context {
	switch c := c.(type) {
	case *conn:
		return context.WithValue(ctx, connKey{}, c)
	case *tlsConn:
		return context.WithValue(ctx, connKey{}, &c.conn)
	}
	return ctx
}

// ConnState is for http.Server: a connection that is idle again has no handler.
func (l *Listener) ConnState(c net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	switch c := c.(type) {
	case *conn:
		c.answering = false
	case *tlsConn:
		c.answering = false
	}
}

// A conn is an HTTP/1 connection that knows when net/http writes to it on its
// own account: when no handler is answering.
type conn struct {
	net.Conn
	headers   []byte
	answering bool // set by Serve, cleared when idle: both in the goroutine that serves this connection
}

// A tlsConn tells net/http its TLS state without being a *tls.Conn, which
// net/http would write to directly.
type tlsConn struct {
	conn
	secured *tls.Conn
}

// ConnectionState is what net/http fills Request.TLS from.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.secured.ConnectionState() }

// CloseWrite lets net/http end its side first, so that a refusal is read before
// the reset that unread request bytes cause.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write passes on what a handler answers, and puts our own refusal in the place
// of net/http's, which it writes in one piece.
func (c *conn) Write(p []byte) (int, error) {
	if c.answering {
		return c.Conn.Write(p)
	}
	status, ok := refusedStatus(p)
	if !ok {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(refusalBytes(c.headers, status, serverRefusal(status))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// refusedStatus returns the status in the status line that p starts with.
func refusedStatus(p []byte) (int, bool) {
	const line = "HTTP/1.1 400"
	if len(p) < len(line) || !strings.HasPrefix(string(p[:len(line)]), "HTTP/1.") {
		return 0, false
	}
	status, err := strconv.Atoi(string(p[len(line)-3 : len(line)]))
	return status, err == nil && status >= http.StatusBadRequest
}

// serverRefusal says what net/http refuses with a status.
func serverRefusal(status int) string {
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		return "The request line and header fields are too large."
	case http.StatusExpectationFailed:
		return "The Expect field asks for something other than 100-continue."
	case http.StatusNotImplemented:
		return "The Transfer-Encoding is not chunked."
	case http.StatusHTTPVersionNotSupported:
		return "The HTTP version is not one of 1.0, 1.1 and 2."
	default:
		return "The request is malformed."
	}
}

// refusalBytes is a whole HTTP/1.1 answer after which the connection closes.
func refusalBytes(headers []byte, status int, detail string) []byte {
	body := problem(status, detail)
	b := make([]byte, 0, 512+len(headers)+len(body))
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(b, "\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\n"+RequestIDHeader+": "...)
	b = append(b, uuid.NewString()...)
	b = append(b, "\r\n"...)
	b = append(b, headers...)
	b = append(b, "\r\n"...)
	return append(b, body...)
}
