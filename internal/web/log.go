package web

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
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

// Security events, for operators who watch the log for attacks.
const (
	eventLimit    = "limit"    // refused because of a limit
	eventHost     = "host"     // a Host field that is malformed, not ours, or not the TLS server name
	eventForeign  = "foreign"  // a browser sent it for a page of another site
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
		{}, {}, {}, {},
	}
	more := attrs[len(attrs)-4:]
	if event := x.securityEvent(); event != "" {
		more[0] = slog.String("event", event)
	}
	if x.limit != "" {
		more[1] = slog.String("limit", x.limit)
	}
	if x.cause != nil {
		more[2] = slog.String("error", x.cause.Error())
	}
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		more[3] = slog.String("user_agent", agent[0]) // the handler cuts it
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
