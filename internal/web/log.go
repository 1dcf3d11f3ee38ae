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

// A Log is where lines about requests go.
type Log struct {
	*slog.Logger
	// Client returns who sent a request that came from this address
	// (http.Request.RemoteAddr) with these fields, which are nil where none were
	// read. How much of that a line shows is the handler's business. Where it is
	// nil lines name nobody.
	Client func(remoteAddr string, fields http.Header) netip.Addr
}

// client is empty for a client that is not named.
func (l Log) client(remoteAddr string, fields http.Header) slog.Attr {
	if l.Client == nil {
		return slog.Attr{} // slog leaves out empty ones
	}
	return slog.Any("client", l.Client(remoteAddr, fields))
}

// Events that a request's line can be, for whoever watches the log for attacks.
const (
	eventLimit    = "limit"    // refused because of a limit
	eventHost     = "host"     // a Host field that is malformed, not ours, or not the TLS server name
	eventTampered = "tampered" // what the store returned is not what was stored
)

// log writes the request's line.
func (x *Exchange) log(log Log, r *http.Request, took time.Duration) {
	level := slog.LevelInfo
	if x.status >= http.StatusInternalServerError || x.cause != nil {
		level = slog.LevelError
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	version, resumed := describeTLS(r.TLS)
	attrs := [...]slog.Attr{
		slog.String("request_id", x.requestID[0]),
		log.client(r.RemoteAddr, r.Header),
		slog.String("method", knownMethod(r.Method)),
		slog.String("route", x.route),
		slog.String("proto", r.Proto),
		version, resumed,
		slog.Int("status", x.status),
		slog.Int("bytes", x.bytes),
		slog.Duration("duration", took),
		{}, {}, {},
	}
	more := attrs[len(attrs)-3:]
	if event := x.securityEvent(); event != "" {
		more[0] = slog.String("event", event)
	}
	if x.limit != "" {
		more[1] = slog.String("limit", x.limit)
	}
	if x.cause != nil {
		more[2] = slog.String("error", x.cause.Error())
	}
	log.LogAttrs(r.Context(), level, "request", attrs[:]...)
}

func (x *Exchange) securityEvent() string {
	switch {
	case x.limit != "":
		return eventLimit
	case x.badHost:
		return eventHost
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
