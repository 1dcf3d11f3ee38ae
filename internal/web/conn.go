package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

type connKey struct{}

// ConnContext is for http.Server: it shows Serve the connection of a request, a
// *conn or, of HTTP/2, a *transport.
func (l *Listener) ConnContext(ctx context.Context, c net.Conn) context.Context {
	switch c := c.(type) {
	case *conn:
		return context.WithValue(ctx, connKey{}, c)
	case *tlsConn:
		return context.WithValue(ctx, connKey{}, &c.conn)
	case *tls.Conn:
		return context.WithValue(ctx, connKey{}, c.NetConn())
	}
	return ctx
}

// ConnState is for http.Server: a connection that is idle again has no handler,
// and none of its answers is on its way.
func (l *Listener) ConnState(c net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	switch c := c.(type) {
	case *conn:
		c.answering = false
	case *tlsConn:
		c.answering = false
	case *tls.Conn:
		if t, ok := c.NetConn().(*transport); ok {
			t.requests.Store(0)
		}
	}
}

// A transport is the connection under TLS. Of HTTP/2 it counts the requests since
// it was idle.
type transport struct {
	net.Conn
	requests atomic.Int32
}

// NetConn returns the connection underneath, as [tls.Conn] does. The admission
// looks for its own there.
func (t *transport) NetConn() net.Conn { return t.Conn }

// A conn is an HTTP/1 connection that writes the constant headers into each answer
// as it passes: net/http would copy and sort them for each. When no handler is
// answering, net/http writes a refusal of its own, which conn replaces. Its state
// belongs to the goroutine that serves it.
type conn struct {
	net.Conn
	listener  *Listener
	answering bool         // set by Serve, cleared when idle
	headed    bool         // the head of this answer has passed
	requestID string       // of this answer
	headers   *headerBlock // of this answer
	first     head         // the first request's
	requests  int          // that reached a handler
}

// answer begins a handler's answer. Where splice is true it comes without its
// block of headers, which setHeaders chooses.
func (c *conn) answer(requestID string, splice bool) {
	c.answering, c.headed, c.requestID = true, !splice, requestID
	c.requests++
}

// Read notes how the first request is framed.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.first.over {
		c.first.scan(p[:n])
	}
	return n, err
}

// A tlsConn tells net/http its TLS state without being a *tls.Conn, which
// net/http would write to directly.
type tlsConn struct {
	conn
	secured *tls.Conn
}

// ConnectionState is what net/http fills Request.TLS from.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.secured.ConnectionState() }

// NetConn returns the connection underneath, as [tls.Conn] does. The admission
// looks for its own there.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite lets net/http end its side first, so that a refusal is read before
// the reset that unread request bytes cause.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write passes on a handler's answer, with the constant headers after the status
// line, and replaces a refusal of net/http by ours. A status line comes in one
// piece, and so does a refusal, because net/http buffers more than that.
func (c *conn) Write(p []byte) (int, error) {
	if c.answering && c.headed {
		return c.Conn.Write(p)
	}
	status := statusOf(p)
	switch {
	case c.answering && status >= http.StatusOK: // below that is an interim answer, without our headers
		c.headed = true
		return c.writeHead(p)
	case !c.answering && status >= http.StatusBadRequest:
		return len(p), c.listener.refuse(c.Conn, status, serverRefusal(status))
	}
	return c.Conn.Write(p)
}

// heads holds buffers (*[]byte) for writes that begin with a head: net/http's 4 KiB
// and 1 KiB of ours.
var heads = sync.Pool{New: func() any { return new([]byte) }}

// writeHead writes p, which begins with a status line, with the constant headers
// after that line.
func (c *conn) writeHead(p []byte) (int, error) {
	line := bytes.IndexByte(p, '\n') + 1
	head := heads.Get().(*[]byte)
	defer heads.Put(head)
	b := append((*head)[:0], p[:line]...)
	b = c.headers.appendTo(b, c.requestID)
	b = append(b, p[line:]...)
	*head = b
	if _, err := c.Conn.Write(b); err != nil {
		return 0, err
	}
	return len(p), nil
}

// statusOf returns the status in the status line that p starts with, or 0.
func statusOf(p []byte) int {
	const line = "HTTP/1.1 400"
	if len(p) < len(line) || string(p[:len("HTTP/1.")]) != "HTTP/1." {
		return 0
	}
	status, err := strconv.Atoi(string(p[len(line)-3 : len(line)]))
	if err != nil {
		return 0
	}
	return status
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

// tlsOf describes a connection as it is below HTTP.
func tlsOf(c net.Conn) (version, resumed slog.Attr) {
	secured, ok := c.(*tls.Conn)
	if !ok {
		return describeTLS(nil)
	}
	state := secured.ConnectionState()
	return describeTLS(&state)
}

// refuse answers what could not be read as a request, and discards the input that
// follows. The caller closes the connection.
func (l *Listener) refuse(c net.Conn, status int, detail string) error {
	sender := l.log.sender(c.RemoteAddr().String(), nil)
	_, err := c.Write(l.refusal(c, sender, status, detail))
	if err == nil {
		drainConnection(c)
	}
	return err
}

// refusal logs and counts what could not be read as a request, and returns the
// whole HTTP/1.1 answer.
func (l *Listener) refusal(c net.Conn, sender netip.Addr, status int, detail string) []byte {
	id := uuid.NewString()
	body := problem(status, detail)
	if !l.log.suppressed(sender, status, "") {
		version, resumed := tlsOf(c)
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("request_id", id),
			clientAttr(sender), slog.String("route", otherRoute), version, resumed,
			slog.Int("status", status), slog.Int("bytes", len(body)))
	}
	l.observer.Request(otherRoute, "HTTP/1.1", status, 0) // no request was read, so there is no duration
	b := make([]byte, 0, 512+len(l.headers.lines)+len(body))
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(b, "\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\n"...)
	b = l.headers.appendTo(b, id)
	b = append(b, "\r\n"...)
	return append(b, body...)
}
