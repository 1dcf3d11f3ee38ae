package ops

import (
	"crypto/tls"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// traffic counts what happens before there is a request.
type traffic struct {
	accepted   prometheus.Counter
	refused    counters
	handshakes *prometheus.CounterVec // by version and whether resumed
	failures   counters
}

func newTraffic(f factory, admissions []string) traffic {
	t := traffic{
		accepted: f.counter("connections_total", "Connections accepted from the network, before any limit."),
		refused:  f.counters("connections_refused_total", "Connections closed at once because of a limit.", "limit", admissions),
		failures: f.counters("tls_handshake_failures_total", "TLS handshakes that failed, by reason.", "reason", handshakeReasons()),
	}
	t.handshakes = f.counterVec("tls_handshakes_total", "TLS handshakes completed.", "version", "resumed")
	for _, version := range tlsVersions {
		t.handshakes.WithLabelValues(version, "false")
		t.handshakes.WithLabelValues(version, "true")
	}
	t.handshakes.WithLabelValues(Other, "false")
	return t
}

// Accepted counts a connection that came in.
func (m *Metrics) Accepted() { m.traffic.accepted.Inc() }

// Turned counts a connection that was closed at once because of this limit.
func (m *Metrics) Turned(limit string) { m.traffic.refused.of(limit).Inc() }

// Handshake counts a TLS handshake that was completed, with the version as in
// tls.ConnectionState.
func (m *Metrics) Handshake(version uint16, resumed bool) {
	v, ok := tlsVersions[version]
	if !ok {
		v = Other
	}
	m.traffic.handshakes.WithLabelValues(v, strconv.FormatBool(resumed)).Inc()
}

// tlsVersions are the label's values.
var tlsVersions = map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}

// HandshakeFailed counts a TLS handshake that failed. The text is the error's, or the
// line in which an http.Server logs it. Only known texts become a label.
func (m *Metrics) HandshakeFailed(text string) {
	m.traffic.failures.of(handshakeReason(text)).Inc()
}

// reasons are parts of the texts of handshake errors, in the order in which they are
// looked for. crypto/tls has types for few of them.
var reasons = [...]struct{ text, reason string }{
	{"i/o timeout", "timeout"},
	{"deadline exceeded", "timeout"},
	{"does not look like a TLS handshake", "not_tls"},
	{"HTTP request to an HTTPS server", "not_tls"},
	{"remote error: ", "refused_by_client"}, // an alert: for example, it does not trust the certificate
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

// WatchConnections shows the number of open connections.
func (m *Metrics) WatchConnections(open func() int) {
	factory{m.registry}.gaugeFunc("connections_open", "Connections that are open.",
		func() float64 { return float64(open()) })
}
