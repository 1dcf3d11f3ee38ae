package ops

import (
	"crypto/tls"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "messaging_api"

// Other is the label's value for all that is not known in advance. A value never comes from
// a client: each new one costs memory until the process ends, here and in Prometheus.
const Other = "other"

// A MetricsConfig names the values of the labels of [Metrics].
type MetricsConfig struct {
	Version, Revision string   // of the build
	Routes            []string // patterns, as in http.Request.Pattern
	Limits            []string // limits that refuse one client's requests
	Shed              string   // the limit of all requests at once
	Admissions        []string // limits that refuse connections
	Events            []string // that happen to messages
	StoreCalls        []string // operations of the store
	StoreOutcomes     []string // how they end
}

// Metrics are the metrics of the service, in a registry of their own. They are safe for
// concurrent use. As an http.Handler they answer a scrape.
type Metrics struct {
	http.Handler

	registry *prometheus.Registry

	routes         labels
	requests       *prometheus.CounterVec // by route, status and protocol
	requestSeconds *prometheus.HistogramVec
	refused        counters
	shedLimit      string
	shed           prometheus.Counter

	accepted          prometheus.Counter
	connectionRefused counters
	handshakes        *prometheus.CounterVec // by version and whether resumed
	handshakeFailures counters

	storeCalls   *prometheus.CounterVec // by operation and outcome
	storeSeconds *prometheus.HistogramVec

	created, createdBytes prometheus.Counter
	read, readBytes       prometheus.Counter
	missed                prometheus.Counter
	events                counters
}

// The values of the labels that c does not name.
var (
	protocols   = labels{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"}
	tlsVersions = map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}
)

// NewMetrics returns Metrics at zero. Series exist from the start, because Prometheus does
// not see the first increase of a series that appears with it.
func NewMetrics(c MetricsConfig) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), routes: c.Routes, shedLimit: c.Shed}
	m.Handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, // each holds all of its answer in memory
		EnableOpenMetrics:   true,
	})
	m.makeRequests(c)
	m.makeConnections(c)
	m.makeMessages(c)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "What runs: always 1, the build is in the labels."},
		[]string{"version", "revision", "goversion"})
	build.WithLabelValues(c.Version, c.Revision, runtime.Version()).Set(1)
	m.registry.MustRegister(build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) makeRequests(c MetricsConfig) {
	m.requests = m.counterVec("http_requests_total", "Requests answered.", "route", "status", "protocol")
	m.requestSeconds = m.seconds("http_request_duration_seconds", "Time from a request's header to the end of its answer.", "route")
	for _, route := range append(slices.Clip(c.Routes), Other) {
		m.requestSeconds.WithLabelValues(route)
	}
	m.refused = m.counters("limit_refusals_total", "Requests refused because their client was over a limit.", "limit", c.Limits)
	m.shed = m.counter("http_requests_shed_total", "Requests refused because too many were being worked on.")
}

func (m *Metrics) makeConnections(c MetricsConfig) {
	m.accepted = m.counter("connections_total", "Connections accepted from the network, before any limit.")
	m.connectionRefused = m.counters("connections_refused_total", "Connections closed at once because of a limit.", "limit", c.Admissions)
	m.handshakeFailures = m.counters("tls_handshake_failures_total", "TLS handshakes that failed, by reason.", "reason", handshakeReasons())
	m.handshakes = m.counterVec("tls_handshakes_total", "TLS handshakes completed.", "version", "resumed")
	for _, version := range tlsVersions {
		m.handshakes.WithLabelValues(version, "false")
		m.handshakes.WithLabelValues(version, "true")
	}
	m.handshakes.WithLabelValues(Other, "false")
}

func (m *Metrics) makeMessages(c MetricsConfig) {
	m.created = m.counter("messages_created_total", "Messages stored.")
	m.createdBytes = m.counter("messages_created_bytes_total", "Bytes of the messages stored, as they are sealed.")
	m.read = m.counter("messages_read_total", "Records of messages read from the store.")
	m.readBytes = m.counter("messages_read_bytes_total", "Bytes of the messages read, as they are sealed.")
	m.missed = m.counter("messages_missed_total", "Requests for a message that does not exist: expired, or guessed.")
	m.events = m.counters("message_events_total", "What happened to messages that are limited, taken back or taken down.", "event", c.Events)
	m.storeCalls = m.counterVec("store_calls_total", "Operations of the store, by how they ended.", "op", "outcome")
	m.storeSeconds = m.seconds("store_duration_seconds", "Time that the store took to answer, or to fail.", "op")
	for _, call := range c.StoreCalls {
		m.storeSeconds.WithLabelValues(call)
		for _, outcome := range c.StoreOutcomes {
			m.storeCalls.WithLabelValues(call, outcome)
		}
	}
}

// Request counts a request that was answered. The route is the pattern that it matched,
// the protocol as in http.Request.Proto.
func (m *Metrics) Request(route, protocol string, status int, took time.Duration) {
	code := Other
	if http.StatusText(status) != "" {
		code = strconv.Itoa(status)
	}
	route = m.routes.known(route)
	m.requestSeconds.WithLabelValues(route).Observe(took.Seconds())
	m.requests.WithLabelValues(route, code, protocols.known(protocol)).Inc()
}

// Refused counts a request that was refused because of this limit.
func (m *Metrics) Refused(limit string) {
	if limit == m.shedLimit {
		m.shed.Inc()
		return
	}
	m.refused.of(limit).Inc()
}

// Accepted counts a connection that came in.
func (m *Metrics) Accepted() { m.accepted.Inc() }

// ConnectionRefused counts a connection that was closed at once because of this limit.
func (m *Metrics) ConnectionRefused(limit string) { m.connectionRefused.of(limit).Inc() }

// Handshake counts a TLS handshake that was completed, with the version as in
// tls.ConnectionState.
func (m *Metrics) Handshake(version uint16, resumed bool) {
	v, ok := tlsVersions[version]
	if !ok {
		v = Other
	}
	m.handshakes.WithLabelValues(v, strconv.FormatBool(resumed)).Inc()
}

// HandshakeFailed counts a TLS handshake that failed with this error.
func (m *Metrics) HandshakeFailed(text string) {
	m.handshakeFailures.of(handshakeReason(text)).Inc()
}

// StoreCall counts an operation of the store. Both labels are as in [MetricsConfig].
func (m *Metrics) StoreCall(call, outcome string, took time.Duration) {
	m.storeCalls.WithLabelValues(call, outcome).Inc()
	m.storeSeconds.WithLabelValues(call).Observe(took.Seconds())
}

// Created counts a message that was stored, of this many bytes.
func (m *Metrics) Created(size int) {
	m.created.Inc()
	m.createdBytes.Add(float64(size))
}

// Read counts a message that was read, of this many bytes.
func (m *Metrics) Read(size int) {
	m.read.Inc()
	m.readBytes.Add(float64(size))
}

// ReadText counts this many bytes of the text of a limited message.
func (m *Metrics) ReadText(size int) { m.readBytes.Add(float64(size)) }

// Missed counts a request for a message that does not exist.
func (m *Metrics) Missed() { m.missed.Inc() }

// Message counts an event of a message, as in [MetricsConfig].
func (m *Metrics) Message(event string) { m.events.of(event).Inc() }

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

func handshakeReasons() (all []string) {
	for _, r := range reasons {
		all = append(all, r.reason)
	}
	return all
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	return m.counterVec(name, help).WithLabelValues()
}

func (m *Metrics) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

// seconds makes histograms that are classic, for every Prometheus, and native too. The
// native buckets are 10 % apart at any value.
func (m *Metrics) seconds(name, help, label string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                         []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{label})
	m.registry.MustRegister(v)
	return v
}

// labels are the known values of a label.
type labels []string

// known returns the value, or Other for an unknown one.
func (l labels) known(value string) string {
	if slices.Contains(l, value) {
		return value
	}
	return Other
}

// counters are counters by the values of one label.
type counters struct {
	vec    *prometheus.CounterVec
	values labels
}

func (m *Metrics) counters(name, help, label string, values labels) counters {
	c := counters{m.counterVec(name, help, label), values}
	for _, value := range append(slices.Clip(values), Other) {
		c.of(value)
	}
	return c
}

// of returns the counter of a value, or that of all unknown ones.
func (c counters) of(value string) prometheus.Counter {
	return c.vec.WithLabelValues(c.values.known(value))
}
