package web

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"messaging_api/internal/message"
)

// A Log is where lines about requests go, and who they come from, by which the
// budgets go too.
type Log struct {
	*slog.Logger
	// Sender returns who sent a request that came from this address
	// (http.Request.RemoteAddr) with these fields, which are nil where none were
	// read. It is asked once a request. How much of that a line shows is the
	// handler's business. Where it is nil nobody is told from anybody else.
	Sender func(remoteAddr string, fields http.Header) netip.Addr
	// Spare reports whether a request that no budget was charged for, and which was
	// answered with this status, because of that limit if any, goes without a line
	// of its own: what clients can ask for as often as they like must not fill the
	// disk. It counts those. A 500 has its line always. Where it is nil each has.
	Spare func(sender netip.Addr, status int, limit string) bool
}

// spared reports whether there is to be no line.
func (l Log) spared(sender netip.Addr, status int, limit string) bool {
	return l.Spare != nil && l.Spare(sender, status, limit)
}

// sender is the zero Addr for a client that is not known.
func (l Log) sender(remoteAddr string, fields http.Header) netip.Addr {
	if l.Sender == nil {
		return netip.Addr{}
	}
	return l.Sender(remoteAddr, fields)
}

// clientAttr is empty for a client that is not known.
func clientAttr(sender netip.Addr) slog.Attr {
	if !sender.IsValid() {
		return slog.Attr{} // slog leaves out empty ones
	}
	return slog.Any("client", sender)
}

// Events that a request's line can be, for whoever watches the log for attacks.
const (
	eventLimit    = "limit"    // refused because of a limit
	eventHost     = "host"     // a Host field that is malformed, not ours, or not the TLS server name
	eventForeign  = "foreign"  // a browser sent it for a page of another site
	eventTampered = "tampered" // what the store returned is not what was stored
)

// log writes the request's line.
func (x *Exchange) log(log Log, r *http.Request, start time.Time, took time.Duration) {
	level := slog.LevelInfo
	if x.status >= http.StatusInternalServerError || x.cause != nil {
		level = slog.LevelError
	}
	if !x.granted && x.status != http.StatusInternalServerError && log.spared(x.sender, x.status, x.limit) {
		return
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	version, resumed := describeTLS(r.TLS)
	attrs := [...]slog.Attr{
		slog.String("request_id", x.requestID),
		clientAttr(x.sender),
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
		more[3] = slog.String("user_agent", agent[0]) // how much it shows is the handler's business too
	}
	// What a Logger would do besides is to find out, each time, that this line is
	// where it was called.
	record := slog.NewRecord(start.Add(took), level, "request", 0)
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

// describeTLS says what a connection's TLS is; both are empty where there is none.
func describeTLS(state *tls.ConnectionState) (version, resumed slog.Attr) {
	if state == nil {
		return version, resumed
	}
	name := "other"
	switch state.Version {
	case tls.VersionTLS12:
		name = "1.2"
	case tls.VersionTLS13:
		name = "1.3"
	}
	return slog.String("tls", name), slog.Bool("resumed", state.DidResume)
}

// knownMethod keeps a method that a client invented out of the log.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "other"
}
