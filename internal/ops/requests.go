package ops

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// protocols are the values of that label; other requests have Other.
var protocols = values{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"}

// requests counts what the public listeners answered.
type requests struct {
	routes  values
	count   *prometheus.CounterVec // by route, status and protocol
	latency *prometheus.HistogramVec
	refused counters
	shed    prometheus.Counter
}

func newRequests(f factory, routes, limits []string) requests {
	r := requests{
		routes:  routes,
		count:   f.counterVec("http_requests_total", "Requests answered.", "route", "status", "protocol"),
		latency: f.durations("http_request_duration_seconds", "Time from a request's header to the end of its answer.", "route"),
		refused: f.counters("limit_refusals_total", "Requests refused because their client was over a limit.", "limit", limits),
		shed:    f.counter("http_requests_shed_total", "Requests refused because too many were being worked on."),
	}
	for _, route := range append(slices.Clip(routes), Other) {
		r.latency.WithLabelValues(route)
	}
	return r
}

// Request counts a request that was answered. The route is the pattern that it matched,
// the protocol as in http.Request.Proto.
func (m *Metrics) Request(route, protocol string, status int, took time.Duration) {
	code := Other
	if http.StatusText(status) != "" {
		code = strconv.Itoa(status)
	}
	route = m.requests.routes.label(route)
	m.requests.latency.WithLabelValues(route).Observe(took.Seconds())
	m.requests.count.WithLabelValues(route, code, protocols.label(protocol)).Inc()
}

// Refused counts a request that was refused because of this limit.
func (m *Metrics) Refused(limit string) { m.requests.refused.of(limit).Inc() }

// Shed counts a request that was refused because too many were being worked on.
func (m *Metrics) Shed() { m.requests.shed.Inc() }

// WatchInFlight shows the number of requests that are being worked on.
func (m *Metrics) WatchInFlight(now func() int) {
	factory{m.registry}.gaugeFunc("http_requests_in_flight", "Requests being worked on.",
		func() float64 { return float64(now()) })
}

// WatchClients shows the number of clients that the limits track, and how often a
// client without room in the table was charged to the bucket that such clients share.
func (m *Metrics) WatchClients(tracked func() int, overflow func() uint64) {
	f := factory{m.registry}
	f.gaugeFunc("limit_clients", "Clients that the limits track.",
		func() float64 { return float64(tracked()) })
	f.counterFunc("limit_overflow_total", "Requests charged to the bucket that clients share for whom there is no room.",
		func() float64 { return float64(overflow()) })
}

// WatchSharedLimits shows how often a replica decided by itself because Redis did
// not.
func (m *Metrics) WatchSharedLimits(fallbacks func() uint64) {
	factory{m.registry}.counterFunc("limit_fallbacks_total", "Decisions about shared limits that this replica made by itself, because Redis did not answer.",
		func() float64 { return float64(fallbacks()) })
}
