package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

type connKey struct{}

// ConnContext is for http.Server: it shows Serve the connection of a request.
func (l *Listener) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, connection(c))
}

// ConnState is for http.Server: a connection that is idle again has no handler and
// has sent all its answers.
func (l *Listener) ConnState(c net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	switch c := connection(c).(type) {
	case *conn:
		c.answering = false
	case *transport:
		c.requests.Store(0)
	}
}

// connection returns what is ours of a connection that a Listener returned: a *conn
// of HTTP/1 or a *transport of HTTP/2.
func connection(c net.Conn) net.Conn {
	switch c := c.(type) {
	case *conn:
		return c
	case *tlsConn:
		return &c.conn
	}
	return c.(*tls.Conn).NetConn()
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

// A conn is an HTTP/1 connection that writes the constant headers into each answer:
// net/http would copy and sort them each time. When no handler is answering,
// net/http writes a refusal of its own, which conn replaces. Its state belongs to
// the goroutine that serves it.
type conn struct {
	net.Conn
	listener  *Listener
	answering bool // set by Serve, cleared when idle
	first     firstHead

	headed    bool         // the head of this answer was written
	requestID string       // of this answer
	headers   *headerBlock // of this answer
}

// Read keeps the head of the first request.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.first.add(p[:n])
	return n, err
}

// A tlsConn shows net/http its TLS state. It is not a *tls.Conn, because net/http
// would write directly to that.
type tlsConn struct{ conn }

// ConnectionState is what net/http fills Request.TLS from.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.Conn.(*tls.Conn).ConnectionState() }

// NetConn returns the connection underneath, as [tls.Conn] does. The admission
// looks for its own there.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite lets net/http end its side first: unread input causes a reset, which
// may destroy the answer.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write adds the constant headers to a handler's answer, and replaces a refusal of
// net/http by ours. net/http writes a status line, and a refusal, in one piece.
func (c *conn) Write(p []byte) (int, error) {
	if c.answering && c.headed {
		return c.Conn.Write(p)
	}
	status := statusOf(p)
	switch {
	case c.answering && status >= http.StatusOK: // lower ones are interim answers, without our headers
		c.headed = true
		return c.writeHead(p)
	case !c.answering && status >= http.StatusBadRequest:
		return len(p), c.listener.refuse(c.Conn, status, serverRefusal(status))
	}
	return c.Conn.Write(p)
}

// heads holds buffers (*[]byte) for writes that begin with a head: 4 KiB of
// net/http's and 1 KiB of ours.
var heads = sync.Pool{New: func() any { return new([]byte) }}

// writeHead writes p with the constant headers after its status line.
func (c *conn) writeHead(p []byte) (int, error) {
	line := bytes.IndexByte(p, '\n') + 1
	head := heads.Get().(*[]byte)
	defer heads.Put(head)
	b := append((*head)[:0], p[:line]...)
	b = append(b, RequestIDHeader+": "...)
	b = append(b, c.requestID...)
	b = append(b, "\r\n"...)
	b = append(b, c.headers.lines...)
	*head = append(b, p[line:]...)
	if _, err := c.Conn.Write(*head); err != nil {
		return 0, err
	}
	return len(p), nil
}

// statusOf returns the status in the status line that p starts with, or 0.
func statusOf(p []byte) int {
	const line = "HTTP/1.1 400"
	if len(p) < len(line) || !bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return 0
	}
	status, _ := strconv.Atoi(string(p[len(line)-3 : len(line)])) // 0 after an error
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

// refuse answers what could not be read as a request, logs and counts it, and
// discards the input that follows. The caller closes the connection.
func (l *Listener) refuse(c net.Conn, status int, detail string) error {
	id := uuid.NewString()
	body := problem(status, detail)
	if sender := l.log.Sender(c.RemoteAddr().String(), nil); !l.log.Suppress(sender, status, "") {
		var state *tls.ConnectionState
		if secured, ok := c.(*tls.Conn); ok {
			state = new(secured.ConnectionState())
		}
		version, resumed := describeTLS(state)
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("request_id", id),
			slog.Any("client", sender), slog.String("route", otherRoute), version, resumed,
			slog.Int("status", status), slog.Int("bytes", len(body)))
	}
	l.observer.Request(otherRoute, "HTTP/1.1", status, 0) // no request was read, so there is no duration
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %d\r\nContent-Type: %s\r\n"+
		"Date: %s\r\n%s: %s\r\n%s\r\n%s", status, http.StatusText(status), len(body), problemType[0],
		time.Now().UTC().Format(http.TimeFormat), RequestIDHeader, id, l.headers.lines, body)
	if err == nil {
		drainConnection(c)
	}
	return err
}

// A firstHead keeps the head of the first request on a connection. net/http hides
// the fields that frame a body: it ignores Transfer-Encoding in HTTP/1.0, and
// Content-Length beside it. A proxy in front may read them in another way, and take
// the rest for another request (request smuggling).
type firstHead struct {
	read  []byte // in lower case, without carriage returns
	whole bool
}

// add keeps the next bytes of the connection. net/http bounds the head.
func (h *firstHead) add(p []byte) {
	if !h.whole {
		h.read = append(h.read, bytes.ToLower(bytes.ReplaceAll(p, []byte("\r"), nil))...)
		h.read, _, h.whole = bytes.Cut(h.read, []byte("\n\n"))
	}
}

// has reports whether the head has a field.
func (h *firstHead) has(name string) bool { return bytes.Contains(h.read, []byte("\n"+name+":")) }

// framing closes the connection after a request that other programs may frame in
// another way, and refuses the request if its head shows that (RFC 9112, section 6.1).
// It reads the first head only, because only net/http knows where a later one begins.
func (c *conn) framing(x *Exchange, r *http.Request, next Handler) Handler {
	first := c.first
	c.first.read = nil
	chunked := len(r.TransferEncoding) > 0
	if !chunked && r.ProtoAtLeast(1, 1) || chunked && first.read != nil && !first.has("content-length") {
		return next
	}
	x.w.Header()["Connection"] = []string{"close"}
	if first.has("transfer-encoding") {
		return func(*Exchange, *http.Request) error { return errFraming }
	}
	return next
}

var errFraming = badRequest("Transfer-Encoding comes with Content-Length, or in HTTP/1.0: where the body ends is not certain.")
