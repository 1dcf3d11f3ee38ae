// Package web serves the public HTTP interface: two URLs, their methods and media
// types. Everything else gets a refusal that says how to correct the request.
//
// A request passes [Serve], which gives every answer its id and its security
// headers, turns errors and panics into answers and writes one log line; then
// [Hosts], [Origin] and [Routes], which knows messages. [Listener] does what Serve
// does for the requests that net/http refuses before any handler runs, and writes
// the constant headers of HTTP/1 answers. A listener and a handler belong together:
// [NewListener] with Serve, [NewPlainListener] with [ServePlain].
package web

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// A Handler answers a request through the exchange, or returns why it does not:
// Serve turns the error into the answer. It never does both.
type Handler func(x *Exchange, r *http.Request) error

// An Exchange is one request on its way to one answer. It is used by one
// goroutine at a time.
type Exchange struct {
	w         http.ResponseWriter
	requestID string
	sender    netip.Addr // the zero Addr: not known
	client    Client     // by which the sender is limited
	host      string     // as ParseHost returns it
	port      string     // with its colon, or empty
	publicURL string     // what links begin with; empty: the host that was asked
	route     string     // the pattern, never the path
	as        offer      // how the client wants its answer, once that was looked at
	html      bool       // it would rather have a page, known once as is
	status    int        // 0: nothing has been answered yet
	bytes     int        // of the body
	message   string     // what happened to a limited message, if something did
	event     string     // for the log: the request was refused for what it is
	granted   bool       // a budget let the request through, and was charged
	limit     string     // that refused the request, if one did
	cause     error      // of a refusal, for the log only
	body      pacedBody  // the request's, if it has one
	reading   bool       // the body was asked for
	draining  bool       // the rest of the body is discarded after the answer

	headers *headerBlock // that the answer carries
	splicer *conn        // writes the headers; nil: they are in w.Header()

	transport *transport  // of HTTP/2
	parallel  bool        // its connection had other requests since it was idle
	load      *InFlight   // nil: nothing is counted
	reserved  reservation // guarded by memory.mu
	cut       atomic.Bool // its wait for the client was ended, and what it held taken back
}

// RequestIDHeader names the header that ties an answer to its log line.
const RequestIDHeader = "X-Request-Id"

// Serve returns the outermost handler. The client gets one answer with every
// security header, also if next returns an error or panics. The log gets one line,
// unless it suppresses it; the only text of the client in it is the User-Agent.
// Observer counts the request once it is answered. Load bounds the requests under
// way.
func Serve(log Log, observer Observer, load *InFlight, next Handler) http.Handler {
	return serve(log, observer, newHeaderBlock(securityHeaders()), true, load, next)
}

// serve is [Serve] with the block of headers that answers carry by default. Where
// splice is true, an HTTP/1 connection of a [Listener] writes the block itself;
// next must not set any of its fields then. Load may be nil, where connections are
// bound enough.
func serve(log Log, observer Observer, block *headerBlock, splice bool, load *InFlight, next Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &Exchange{
			w: w, requestID: uuid.NewString(), route: otherRoute, load: load,
			sender: log.sender(r.RemoteAddr, r.Header),
		}
		handler := next
		switch c := r.Context().Value(connKey{}).(type) {
		case *conn:
			c.answer(x.requestID, splice)
			if splice {
				x.splicer = c
			}
			handler = c.framing(x, r, next)
		case *transport:
			x.transport = c
			x.parallel = c.requests.Add(1) > 1
		}
		if x.splicer == nil {
			w.Header()[RequestIDHeader] = []string{x.requestID}
		}
		x.setHeaders(block)
		defer load.leave(x)
		x.serve(log, observer, r, handler)
		x.drain(r)
		load.flush(x)
	})
}

// serve answers the request, logs and counts it.
func (x *Exchange) serve(log Log, observer Observer, r *http.Request, handler Handler) {
	start := time.Now()
	defer func() {
		v := recover()
		abort := v != nil && x.recovered(log, r, v)
		if x.cut.Load() {
			x.limit = LimitInFlight
		}
		took := time.Since(start)
		x.log(log, r, start, took)
		x.count(observer, r, took)
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

// count tells the observer of the request.
func (x *Exchange) count(observer Observer, r *http.Request, took time.Duration) {
	observer.Request(x.route, r.Proto, x.status, took)
	if x.limit != "" {
		observer.Refused(x.limit)
	}
	if x.message != "" {
		observer.Message(x.message)
	}
}

// An answer that does not fit the buffers of a connection takes as long as its
// client takes to read it. It goes out in pieces, and the deadline moves with each.
// At paceRate a piece takes less than the grace. Other answers have the server's
// deadline.
const (
	smallAnswer = 4 << 10 // is counted with its request
	largeAnswer = 16 << 10
	answerPiece = 16 << 10
	answerGrace = 30 * time.Second
)

// smallGrace is how long a client of HTTP/2 has to take an answer that is not large.
const smallGrace = 10 * time.Second

// send writes the answer, whole, with its length: HEAD needs that too.
func (x *Exchange) send(r *http.Request, status int, contentType []string, body []byte) {
	h := x.w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.status = status
	x.w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	x.write(body)
}

// write sends a body. It stops at an error: the client has gone, or stands still.
func (x *Exchange) write(body []byte) {
	start := time.Now()
	for whole := len(body); x.bytes < whole; {
		if whole > largeAnswer {
			paceAnswer(x.w, answerGrace, x.bytes, start)
			if x.cut.Load() { // the new deadline has replaced the one of the cut
				return
			}
		}
		n, err := x.w.Write(body[x.bytes:min(whole, x.bytes+answerPiece)]) //nolint:gosec // never HTML
		x.bytes += n
		if err != nil {
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
