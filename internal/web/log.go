package web

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"messaging_api/internal/message"
)

// A Log writes a line for each request, and knows who sent it.
type Log struct {
	*slog.Logger
	// Sender returns the address of the client that sent a request with these fields
	// (nil: none were read) from remoteAddr (http.Request.RemoteAddr). Budgets are
	// charged to it. The slog.Handler decides how much of it a line shows.
	Sender func(remoteAddr string, fields http.Header) netip.Addr
	// Suppress reports whether a request gets no line, and counts those. It is called
	// for requests that were charged to no budget, except those answered with 500,
	// because clients can send them without bound. Limit is what refused the request,
	// or empty.
	Suppress func(sender netip.Addr, status int, limit string) bool
}

// An Observer counts what a listener and its handlers do. It is safe for
// concurrent use, and returns at once: each request calls it.
type Observer interface {
	// Request counts one answer, by one of [RouteNames] and the protocol as in
	// http.Request.Proto. net/http's own refusals are counted too.
	Request(route, protocol string, status int, took time.Duration)
	// Refused counts a request that was refused because of a limit: the budget
	// that a [Denial] names, or [LimitInFlight].
	Refused(limit string)
	// Message counts one of [MessageEvents].
	Message(event string)
	// Handshake counts a TLS handshake that was completed, with the version as
	// in tls.ConnectionState.
	Handshake(version uint16, resumed bool)
	// HandshakeFailed counts a TLS handshake that failed, with the error's text.
	// The text may hold what the client sent.
	HandshakeFailed(text string)
}

// Security events, for operators who watch the log for attacks.
const (
	eventLimit    = "limit"    // refused because of a limit
	eventHost     = "host"     // a Host field that is malformed, not ours, or not the TLS server name
	eventForeign  = "foreign"  // a browser sent it for a page of another site
	eventDenied   = "denied"   // a creation by a client that may not create
	eventTampered = "tampered" // what the store returned is not what was stored
)

// log writes the request's line.
func (x *Exchange) log(log Log, r *http.Request, took time.Duration) {
	level := slog.LevelInfo
	if x.status >= http.StatusInternalServerError || x.cause != nil {
		level = slog.LevelError
	}
	if !x.charged && x.status != http.StatusInternalServerError && log.Suppress(x.sender, x.status, x.limit) {
		return
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	cause := ""
	if x.cause != nil {
		cause = x.cause.Error()
	}
	version, resumed := describeTLS(r.TLS)
	attrs := [...]slog.Attr{
		slog.String("request_id", x.requestID),
		slog.Any("client", x.sender),
		slog.String("method", knownMethod(r.Method)),
		slog.String("route", x.route),
		slog.String("proto", r.Proto),
		version, resumed,
		slog.Int("status", x.status),
		slog.Int("bytes", x.bytes),
		slog.Duration("duration", took),
		optional("event", x.securityEvent()),
		optional("limit", x.limit),
		optional("error", cause),
		optional("token", x.token),            // its name
		optional("user_agent", r.UserAgent()), // the handler cuts it
	}
	// A Logger would look up the source line of each call, which is always this one.
	record := slog.NewRecord(x.start.Add(took), level, "request", 0)
	record.AddAttrs(attrs[:]...)
	_ = log.Handler().Handle(r.Context(), record)
}

func (x *Exchange) securityEvent() string {
	switch {
	case x.limit != "":
		return eventLimit
	case x.event != "":
		return x.event
	case errors.Is(x.cause, message.ErrTampered):
		return eventTampered
	}
	return ""
}

// optional returns an attribute with a value, or none.
func optional(key, value string) slog.Attr {
	if value == "" {
		return slog.Attr{}
	}
	return slog.String(key, value)
}

// describeTLS returns a connection's TLS for a log line. Both attributes are empty
// without TLS.
func describeTLS(state *tls.ConnectionState) (version, resumed slog.Attr) {
	if state == nil {
		return version, resumed
	}
	return slog.String("tls", strings.TrimPrefix(tls.VersionName(state.Version), "TLS ")), slog.Bool("resumed", state.DidResume)
}

// knownMethod keeps a client's invented method out of the log.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "other"
}

// recovered logs a panic and answers it with a 500. If an answer had begun already,
// it reports true: only the end of the connection tells the client that the answer
// is broken.
func (x *Exchange) recovered(log Log, r *http.Request, v any) (abort bool) {
	if v == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		return true
	}
	log.LogAttrs(r.Context(), slog.LevelError, "panic in a handler", slog.String("event", "panic"),
		slog.String("request_id", x.requestID), panicValue(v), panicStack())
	if x.status != 0 {
		return true
	}
	x.refuse(r, errInternal)
	return false
}

// panicValue shows the value of a panic only if the runtime made it. Any other
// value may hold a text or an id.
func panicValue(v any) slog.Attr {
	what := "a value that is not shown"
	var fault runtime.Error
	if err, ok := v.(error); ok && errors.As(err, &fault) {
		what = fault.Error()
	}
	return slog.String("panic", what)
}

// panicStack names the functions and lines that led to the panic, without
// arguments: they may hold a text or an id.
func panicStack() slog.Attr {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var stack []string
	for {
		frame, more := frames.Next()
		stack = append(stack, frame.Function+":"+strconv.Itoa(frame.Line))
		if frame.Function == "runtime.gopanic" {
			stack = nil // the frames so far are the recovery's
		}
		if !more {
			return slog.Any("stack", stack)
		}
	}
}
