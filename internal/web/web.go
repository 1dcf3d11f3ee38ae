// Package web serves the public HTTP interface: two URLs, their methods and media
// types. Everything else gets a refusal that says how to correct the request.
//
// A request passes [Serve], [Hosts], [Origin] and [Routes]. Serve gives every answer
// its id and its security headers, turns errors and panics into answers, and writes
// one log line. [Listener] does the same for requests that net/http refuses before
// any handler runs. Use [NewListener] with Serve, and [NewPlainListener] with
// [ServePlain].
package web

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// A Handler either answers a request through the exchange, or returns an error that
// Serve turns into the answer.
type Handler func(x *Exchange, r *http.Request) error

// An Exchange is one request on its way to one answer. It is used by one
// goroutine at a time.
type Exchange struct {
	w         http.ResponseWriter
	start     time.Time
	requestID string
	sender    netip.Addr // the zero Addr: not known
	client    Client     // that the sender counts as
	host      string     // as ParseHost returns it
	port      string     // with its colon, or empty
	publicURL string     // what links begin with; empty: the host that was asked
	route     string     // the pattern, never the path
	as        offer      // the form of the answer, once it was negotiated
	html      bool       // the client prefers a page; known once as is
	status    int        // 0: nothing has been answered yet
	bytes     int        // of the answer's body
	message   string     // one of MessageEvents, or empty
	token     string     // the name of the token with which the client creates, or empty
	event     string     // for the log: the request was refused for what it is
	charged   bool       // to a budget
	limit     string     // that refused the request, or empty
	cause     error      // of a refusal, for the log only
	reading   bool       // the body was asked for
	draining  bool       // the rest of the body is discarded after the answer

	headers *headerBlock // that the answer carries
	conn    *conn        // of HTTP/1: it writes the headers

	transport *transport // of HTTP/2
	parallel  bool       // its connection had other requests since it was idle
	load      *InFlight
	held      int         // bytes; guarded by memory.mu
	cut       atomic.Bool // the wait for the client was ended, and what it held taken back
}

// RequestIDHeader names the header that ties an answer to its log line.
const RequestIDHeader = "X-Request-Id"

// Serve returns the outermost handler. The client gets one answer with every
// security header, even if next returns an error or panics. The log gets one line,
// unless it suppresses it, and the observer counts the request. Load bounds the
// requests under way.
func Serve(log Log, observer Observer, load *InFlight, next Handler) http.Handler {
	return serve(log, observer, newHeaderBlock(securityHeaders()), load, next)
}

// serve is [Serve] with the default block of headers. Next must not set any of its
// fields, because an HTTP/1 connection of a [Listener] writes the block.
func serve(log Log, observer Observer, block *headerBlock, load *InFlight, next Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &Exchange{
			w: w, start: time.Now(), requestID: uuid.NewString(), route: otherRoute, load: load, headers: block,
			sender: log.Sender(r.RemoteAddr, r.Header),
		}
		handler := next
		switch c := r.Context().Value(connKey{}).(type) {
		case *conn:
			c.answering, c.headed, c.requestID, c.headers = true, false, x.requestID, block
			x.conn = c
			handler = c.framing(x, r, next)
		case *transport:
			x.transport = c
			x.parallel = c.requests.Add(1) > 1
		}
		defer load.release(x, 0)
		x.serve(log, observer, r, handler)
		x.drain(r)
		load.flush(x)
	})
}

// serve answers the request, logs and counts it.
func (x *Exchange) serve(log Log, observer Observer, r *http.Request, handler Handler) {
	defer func() {
		v := recover()
		abort := v != nil && x.recovered(log, r, v)
		if x.cut.Load() {
			x.limit = LimitInFlight
		}
		took := time.Since(x.start)
		x.log(log, r, took)
		observer.Request(x.route, r.Proto, x.status, took)
		if x.limit != "" {
			observer.Refused(x.limit)
		}
		if x.message != "" {
			observer.Message(x.message)
		}
		if abort {
			panic(http.ErrAbortHandler)
		}
	}()
	err := x.load.enter(x)
	if err == nil {
		err = handler(x, r)
	}
	if err != nil {
		x.refuse(r, err)
	}
}

// A body or an answer has to move at paceRate on average after a grace. An absolute
// deadline would cut large transfers on slow lines, or let a trickle hold a
// connection for minutes. A large answer is sent in pieces, and the deadline moves
// with each; other answers have the server's deadline.
const (
	paceRate    = 1 << 10 // bytes a second
	bodyGrace   = 15 * time.Second
	answerGrace = 30 * time.Second

	smallAnswer = 4 << 10 // is counted with its request
	largeAnswer = 16 << 10
	answerPiece = 16 << 10
)

// send writes the answer, whole, with its length: HEAD needs that too.
func (x *Exchange) send(r *http.Request, status int, contentType []string, body []byte) {
	h := x.w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.begin(status)
	if r.Method == http.MethodHead {
		return
	}
	start := time.Now()
	for size := len(body); x.bytes < size; {
		if size > largeAnswer {
			// At most the grace away: the kernel may have taken much that the client has not.
			left := min(time.Until(paced(start, answerGrace, x.bytes)), answerGrace)
			_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(left))
			if x.cut.Load() { // the new deadline has replaced that of the cut
				return
			}
		}
		n, err := x.w.Write(body[x.bytes:min(size, x.bytes+answerPiece)]) //nolint:gosec // never HTML
		x.bytes += n
		if err != nil { // the client has gone, or has stopped reading
			return
		}
	}
}

// The media types that we send, as header values.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	textType    = []string{"text/plain; charset=utf-8"}
	htmlType    = []string{"text/html; charset=utf-8"}
)
