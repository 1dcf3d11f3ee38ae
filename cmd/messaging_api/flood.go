package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	ratelimit "golang.org/x/time/rate"

	"messaging_api/internal/limit"
	"messaging_api/internal/ops"
)

// floodLines is how many log lines a second all requests without a budget have
// together. The others are counted.
const floodLines = 100

// A floodLog bounds the lines about what clients can cause as often as they like:
// connections that are closed at once, handshakes for names that are not ours,
// requests that no budget was charged for, and what net/http reports. Such requests
// share floodLines lines a second. Everything else is counted by event, limit and
// status, and logged once a second, so that no attack fills the disk.
type floodLog struct {
	*ops.Metrics // count connections too

	log   *slog.Logger
	lines *ratelimit.Limiter

	mu     sync.Mutex // guards what follows
	counts map[flood]floodCount
}

// A flood is what is counted together. Its values are few and known in advance.
type flood struct {
	event, text   string
	limit, reason string // if there is one
	status        int    // of requests, else 0
}

// A floodCount is what has come of a flood since it was last logged.
type floodCount struct {
	n     uint64
	first netip.Addr // of the first client; the zero Addr: not known
}

func newFloodLog(log *slog.Logger, metrics *ops.Metrics) *floodLog {
	return &floodLog{Metrics: metrics, log: log, lines: ratelimit.NewLimiter(floodLines, floodLines), counts: make(map[flood]floodCount)}
}

// Turned implements [limit.Observer].
func (f *floodLog) Turned(admission string, c limit.Client) {
	f.ConnectionRefused(admission)
	f.count(flood{event: "admission", text: "connections closed", limit: admission}, c.Addr())
}

// suppress reports whether a request has no line of its own, and then counts it.
func (f *floodLog) suppress(sender netip.Addr, status int, by string) bool {
	// Below level INFO only errors have lines.
	written := status >= http.StatusInternalServerError || f.log.Enabled(context.Background(), slog.LevelInfo)
	if written && f.lines.Allow() {
		return false
	}
	f.count(flood{event: "requests", text: "requests without a line of their own", limit: by, status: status}, sender)
	return true
}

func (f *floodLog) count(what flood, client netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count, ok := f.counts[what]
	if !ok {
		count.first = client
	}
	count.n++
	f.counts[what] = count
}

// run logs the counts once a second until ctx ends, and then the rest.
func (f *floodLog) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, time.Second)
		f.flush()
	}
}

// flush logs a line for each flood and resets the counts.
func (f *floodLog) flush() {
	f.mu.Lock()
	counts := f.counts
	f.counts = make(map[flood]floodCount, len(counts))
	f.mu.Unlock()
	for what, count := range counts {
		attrs := []any{"event", what.event}
		if what.limit != "" {
			attrs = append(attrs, "limit", what.limit)
		}
		if what.reason != "" {
			attrs = append(attrs, "reason", what.reason)
		}
		if what.status != 0 {
			attrs = append(attrs, "status", what.status)
		}
		attrs = append(attrs, "count", count.n)
		if count.first.IsValid() {
			attrs = append(attrs, "client", count.first)
		}
		f.log.Warn(what.text, attrs...)
	}
}

// countUnknownNames counts handshakes for which there is no certificate.
func (f *floodLog) countUnknownNames(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := get(hello)
		if certificate == nil && err == nil {
			peer, _ := netip.ParseAddrPort(hello.Conn.RemoteAddr().String()) // the zero AddrPort if it has no address
			f.count(flood{event: "name", text: "TLS handshakes for a name that is not served"}, peer.Addr())
		}
		return certificate, err
	}
}

// Write is for http.Server.ErrorLog. Its texts quote what a client sent, paths and whole
// addresses, and clients cause them as often as they like: only their kind is counted.
func (f *floodLog) Write(text []byte) (int, error) {
	what := flood{event: "server", text: "net/http reports errors of connections", reason: "other"}
	for _, k := range [][2]string{
		{"http: Accept error", "accept"},
		{"http2: server: error reading preface", "http2-preface"},
		{"http2: server connection error", "http2-connection"},
		{"http2: server: ", "http2"},
		{"http2: panic serving", "panic"},
		{"http: panic serving", "panic"},
		{"timeout waiting for ", "http2-timeout"},
		{"http: superfluous", "handler"},
	} {
		if strings.HasPrefix(string(text), k[0]) {
			what.reason = k[1]
			break
		}
	}
	f.count(what, netip.Addr{})
	return len(text), nil
}

// unforwardedEvery is how often a trusted proxy without X-Forwarded-For is logged.
const unforwardedEvery = time.Minute

// logUnforwarded logs, at once and then once a minute, that a trusted proxy does not say
// which client a request is from.
func logUnforwarded(ctx context.Context, resolver *limit.Resolver, log *slog.Logger) {
	for before := uint64(0); ctx.Err() == nil; {
		wait := time.Second
		if count, proxy := resolver.Unforwarded(); count != before {
			log.Warn("a trusted proxy sends no X-Forwarded-For: its clients share one budget",
				"event", "proxy", "count", count-before, "client", proxy)
			before, wait = count, unforwardedEvery
		}
		pause(ctx, wait)
	}
}
