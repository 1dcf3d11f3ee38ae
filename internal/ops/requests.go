package ops

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The statuses and protocols that are told apart.
var (
	statuses  = [...]int{200, 308, 400, 404, 405, 406, 408, 413, 415, 421, 429, 431, 500, 503, 507}
	protocols = [...]string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"}
)

// requests counts what the public listeners answered.
type requests struct {
	count   *prometheus.CounterVec // by route, status and protocol
	routes  map[string]*route
	other   *route
	refused counters
	shed    prometheus.Counter
}

// A route has its counters at hand. They are made when they are first needed: a
// scrape would otherwise carry hundreds of zeros.
type route struct {
	name    string
	latency prometheus.Observer
	counts  [len(statuses) + 1][len(protocols) + 1]atomic.Pointer[prometheus.Counter]
}

func newRequests(f factory, routes, limits []string) requests {
	latency := f.durations("http_request_duration_seconds", "Time from a request's header to the end of its answer.", "route")
	r := requests{
		count:   f.counterVec("http_requests_total", "Requests answered.", "route", "status", "protocol"),
		routes:  make(map[string]*route, len(routes)),
		other:   &route{name: Other, latency: latency.WithLabelValues(Other)},
		refused: f.counters("limit_refusals_total", "Requests refused because their client was over a limit.", "limit", limits),
		shed:    f.counter("http_requests_shed_total", "Requests refused because too many were being worked on."),
	}
	for _, name := range routes {
		r.routes[name] = &route{name: name, latency: latency.WithLabelValues(name)}
	}
	return r
}

// Request counts a request that was answered. The route is the pattern that it matched,
// the protocol as in http.Request.Proto.
func (m *Metrics) Request(route, protocol string, status int, took time.Duration) {
	r, ok := m.requests.routes[route]
	if !ok {
		r = m.requests.other
	}
	r.latency.Observe(took.Seconds())
	m.requests.counter(r, status, protocol).Inc()
}

// counter returns the counter of such requests.
func (q *requests) counter(r *route, status int, protocol string) prometheus.Counter {
	s := slices.Index(statuses[:], status)
	p := slices.Index(protocols[:], protocol)
	if s < 0 {
		s = len(statuses)
	}
	if p < 0 {
		p = len(protocols)
	}
	at := &r.counts[s][p]
	if c := at.Load(); c != nil {
		return *c
	}
	labels := [3]string{r.name, Other, Other}
	if s < len(statuses) {
		labels[1] = strconv.Itoa(status)
	}
	if p < len(protocols) {
		labels[2] = protocol
	}
	c := q.count.WithLabelValues(labels[:]...)
	at.Store(&c)
	return c
}

// Refused counts a request that was refused because of this limit.
func (m *Metrics) Refused(limit string) { m.requests.refused.of(limit).Inc() }

// Shed counts a request that was refused because too many were being worked on.
func (m *Metrics) Shed() { m.requests.shed.Inc() }

// WatchInFlight has the number of requests that are being worked on.
func (m *Metrics) WatchInFlight(now func() int) {
	factory{m.registry}.gaugeFunc("http_requests_in_flight", "Requests being worked on.",
		func() float64 { return float64(now()) })
}

// WatchClients has the number of clients that the limits track, and how often one
// for whom there was no room was charged to the bucket that all such share.
func (m *Metrics) WatchClients(tracked func() int, overflow func() uint64) {
	f := factory{m.registry}
	f.gaugeFunc("limit_clients", "Clients that the limits track.",
		func() float64 { return float64(tracked()) })
	f.counterFunc("limit_overflow_total", "Requests charged to the bucket that clients share for whom there is no room.",
		func() float64 { return float64(overflow()) })
}
