package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync"
	"time"

	ratelimit "golang.org/x/time/rate"

	"messaging_api/internal/limit"
)

// floodLines is how many lines a second all requests without a budget have
// together. The others are counted.
const floodLines = 100

// A floodLog bounds the lines about what clients can cause as often as they like:
// connections that are closed at once, handshakes for names that are not ours,
// requests that no budget was charged for, and what net/http reports. Such
// requests share floodLines lines a second. Everything else is counted by event,
// limit and status, and told once a second, so that no attack fills the disk.
type floodLog struct {
	log   *slog.Logger
	lines *ratelimit.Limiter

	mu     sync.Mutex // guards what follows
	counts map[flood]floodCount
}

// A flood is what is counted together. Its values are few and known in advance.
type flood struct {
	event, limit, reason string
	status               int // of requests, else 0
}

// A floodCount is what came of a flood since it was last told.
type floodCount struct {
	n     uint64
	first limit.Client
}

// The events of a floodLog.
const (
	eventAdmission = "admission"
	eventName      = "name"
	eventRequests  = "requests"
	eventServer    = "server"
)

// floodText is what the line of an event says.
func floodText(event string) string {
	switch event {
	case eventAdmission:
		return "connections closed"
	case eventName:
		return "TLS handshakes for a name that is not served"
	case eventRequests:
		return "requests without a line of their own"
	default:
		return "net/http reports errors of connections"
	}
}

func newFloodLog(log *slog.Logger) *floodLog {
	return &floodLog{log: log, lines: ratelimit.NewLimiter(floodLines, floodLines), counts: make(map[flood]floodCount)}
}

// connectionClosed counts a connection that a client lost to a limit.
func (f *floodLog) connectionClosed(admission string, c limit.Client) {
	f.count(flood{event: eventAdmission, limit: admission}, c)
}

// unknownName counts a handshake for a name that is not ours.
func (f *floodLog) unknownName(c limit.Client) { f.count(flood{event: eventName}, c) }

// serverError counts what net/http reports, by its kind.
func (f *floodLog) serverError(kind string) {
	f.count(flood{event: eventServer, reason: kind}, limit.Client{})
}

// suppress reports whether a request has no line of its own, and then counts it.
func (f *floodLog) suppress(c limit.Client, status int, by string) bool {
	// Below level INFO only errors have lines.
	written := status >= http.StatusInternalServerError || f.log.Enabled(context.Background(), slog.LevelInfo)
	if written && f.lines.Allow() {
		return false
	}
	f.count(flood{event: eventRequests, limit: by, status: status}, c)
	return true
}

func (f *floodLog) count(what flood, c limit.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count, ok := f.counts[what]
	if !ok {
		count.first = c
	}
	count.n++
	f.counts[what] = count
}

// run tells the counts once a second until ctx ends, and then the rest.
func (f *floodLog) run(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ctx.Err() == nil {
		select {
		case <-second.C:
		case <-ctx.Done():
		}
		f.tell()
	}
}

// tell writes a line for each flood, and starts to count anew.
func (f *floodLog) tell() {
	f.mu.Lock()
	counts := f.counts
	f.counts = make(map[flood]floodCount, len(counts))
	f.mu.Unlock()
	for what, count := range counts {
		var by, reason, status, client slog.Attr // slog leaves out empty ones
		if what.limit != "" {
			by = slog.String("limit", what.limit)
		}
		if what.reason != "" {
			reason = slog.String("reason", what.reason)
		}
		if what.status != 0 {
			status = slog.Int("status", what.status)
		}
		if what.event != eventServer {
			client = slog.Any("client", count.first.Addr())
		}
		f.log.LogAttrs(context.Background(), slog.LevelWarn, floodText(what.event),
			slog.String("event", what.event), by, reason, status, slog.Uint64("count", count.n), client)
	}
}

// countUnknownNames counts handshakes for which there is no certificate.
func (f *floodLog) countUnknownNames(resolver *limit.Resolver, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := get(hello)
		if certificate == nil && err == nil {
			f.unknownName(resolver.Client(hello.Conn.RemoteAddr().String(), nil))
		}
		return certificate, err
	}
}
