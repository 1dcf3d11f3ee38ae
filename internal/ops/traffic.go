package ops

import (
	"crypto/tls"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// traffic counts what happens before there is a request.
type traffic struct {
	accepted   prometheus.Counter
	refused    counters
	handshakes [2][2]prometheus.Counter // by version (1.2, 1.3) and whether resumed
	unknown    prometheus.Counter       // of another version
	failures   counters
}

func newTraffic(f factory, admissions []string) traffic {
	t := traffic{
		accepted: f.counter("connections_total", "Connections accepted from the network, before any limit."),
		refused:  f.counters("connections_refused_total", "Connections closed at once because of a limit.", "limit", admissions),
		failures: f.counters("tls_handshake_failures_total", "TLS handshakes that failed, by reason.", "reason", handshakeReasons()),
	}
	vec := f.counterVec("tls_handshakes_total", "TLS handshakes completed.", "version", "resumed")
	for i, version := range []string{"1.2", "1.3"} {
		t.handshakes[i] = [2]prometheus.Counter{vec.WithLabelValues(version, "false"), vec.WithLabelValues(version, "true")}
	}
	t.unknown = vec.WithLabelValues(Other, "false")
	return t
}

// Accepted counts a connection that came in.
func (m *Metrics) Accepted() { m.traffic.accepted.Inc() }

// Turned counts a connection that was closed at once because of this limit.
func (m *Metrics) Turned(limit string) { m.traffic.refused.of(limit).Inc() }

// Handshake counts a TLS handshake that was completed, with the version as in
// tls.ConnectionState.
func (m *Metrics) Handshake(version uint16, resumed bool) {
	r := 0
	if resumed {
		r = 1
	}
	switch version {
	case tls.VersionTLS12:
		m.traffic.handshakes[0][r].Inc()
	case tls.VersionTLS13:
		m.traffic.handshakes[1][r].Inc()
	default:
		m.traffic.unknown.Inc()
	}
}

// HandshakeFailed counts a TLS handshake that failed. The text is the error's, or the
// line in which an http.Server logs it; only what it is known to say becomes a label.
func (m *Metrics) HandshakeFailed(text string) {
	m.traffic.failures.of(handshakeReason(text)).Inc()
}

// reasons are what errors of handshakes say, in the order in which they are looked
// for: crypto/tls has types for hardly any of them.
var reasons = [...]struct{ text, reason string }{
	{"i/o timeout", "timeout"},
	{"deadline exceeded", "timeout"},
	{"does not look like a TLS handshake", "not_tls"},
	{"HTTP request to an HTTPS server", "not_tls"},
	{"remote error: ", "refused_by_client"}, // an alert: it does not trust the certificate, say
	{"unsupported versions", "version"},
	{"no cipher suite supported", "cipher"},
	{"no supported elliptic curves", "cipher"},
	{"no key exchanges supported", "cipher"},
	{"no certificates configured", "unknown_name"},
	{"unrecognized name", "unknown_name"},
	{"missing server name", "unknown_name"},
	{"connection reset", "closed"},
	{"broken pipe", "closed"},
	{"EOF", "closed"},
}

func handshakeReason(text string) string {
	for _, r := range reasons {
		if strings.Contains(text, r.text) {
			return r.reason
		}
	}
	return Other
}

func handshakeReasons() []string {
	var all []string
	for _, r := range reasons {
		all = append(all, r.reason)
	}
	return all
}

// WatchConnections has the number of open connections.
func (m *Metrics) WatchConnections(open func() int) {
	factory{m.registry}.gaugeFunc("connections_open", "Connections that are open.",
		func() float64 { return float64(open()) })
}
