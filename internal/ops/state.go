package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A State is what a scrape asks the rest of the service for.
type State struct {
	InFlight    int // requests being worked on
	Connections int // open ones

	Clients      int               // that the limits track
	Overflows    uint64            // requests charged to the bucket of clients without room in the table
	Creations    map[string]uint64 // messages by the name of the token that they were created with; nil if there are no tokens
	Fallbacks    uint64            // decisions about shared limits that Redis did not make
	Unforwarded  uint64            // requests of trusted proxies without a usable X-Forwarded-For
	LostLines    uint64            // of the log
	Checks       Report
	Certificates map[string]time.Time // when each ends, by name; zero if there is none yet

	StoreUsed, StoreLimit uint64 // bytes; both zero if unknown
	Writable              bool   // the store took the last write
	Pool                  *Pool  // nil for an embedded store
	ClockJumps            uint64 // of an embedded store
}

// A Pool is the state of the connections to a store.
type Pool struct {
	Open, Idle int
	Timeouts   uint64 // how often no connection was free in time, since the start
}

// Watch makes each scrape call state, which must be safe for concurrent use and return
// within a second. It is called once.
func (m *Metrics) Watch(state func() State) { m.registry.MustRegister(collector(state)) }

// A collector makes metrics of the state at each scrape.
type collector func() State

// Describe implements [prometheus.Collector]. That it describes nothing tells the registry
// that there are not the same metrics each time.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	s, out := c(), sender(metrics)
	out.gauge("http_requests_in_flight", "Requests being worked on.", float64(s.InFlight))
	out.gauge("connections_open", "Connections that are open.", float64(s.Connections))
	out.gauge("limit_clients", "Clients that the limits track.", float64(s.Clients))
	out.counter("limit_overflow_total", "Requests charged to the bucket that clients share for whom there is no room.", s.Overflows)
	out.counter("limit_fallbacks_total", "Decisions about shared limits that this replica made by itself, because Redis did not answer.", s.Fallbacks)
	out.counter("unforwarded_requests_total", "Requests from a trusted proxy without a usable X-Forwarded-For.", s.Unforwarded)
	out.counter("log_lines_lost_total", "Log lines that did not reach the log file, or stdout.", s.LostLines)
	for name, count := range s.Creations {
		out.counter("token_creations_total", "Messages stored, by the name of the token that they were created with, or none.", count, "token", name)
	}
	for _, check := range s.Checks {
		ok := 0.0
		if check.OK {
			ok = 1
		}
		out.gauge("check_ok", "Whether a check of readiness passes.", ok, "check", check.Name)
	}
	for name, end := range s.Certificates {
		seconds := 0.0
		if !end.IsZero() {
			seconds = float64(end.Unix())
		}
		out.gauge("certificate_expiry_timestamp_seconds", "End of the validity of the certificate that is served; 0 if there is none.", seconds, "name", name)
	}
	writable := 0.0
	if s.Writable {
		writable = 1
	}
	out.gauge("store_writable", "Whether the store took the last write. If none comes for a minute, the service tries one.", writable)
	if s.StoreUsed > 0 || s.StoreLimit > 0 {
		out.gauge("store_used_bytes", "Bytes that the store uses.", float64(s.StoreUsed))
		out.gauge("store_limit_bytes", "Bytes that the store may use at most; 0 if there is no limit.", float64(s.StoreLimit))
	}
	if s.Pool == nil {
		out.counter("store_clock_jumps_total", "How often the clock was set by more than a minute; after each, expired messages keep their space for an hour.", s.ClockJumps)
		return
	}
	out.gauge("store_connections_open", "Connections to the store.", float64(s.Pool.Open))
	out.gauge("store_connections_idle", "Connections to the store that are idle.", float64(s.Pool.Idle))
	out.counter("store_connection_timeouts_total", "Operations for which no connection to the store was free in time.", s.Pool.Timeouts)
}

// A sender sends the metrics of one scrape.
type sender chan<- prometheus.Metric

func (s sender) counter(name, help string, value uint64, label ...string) {
	s.send(prometheus.CounterValue, name, help, float64(value), label)
}

func (s sender) gauge(name, help string, value float64, label ...string) {
	s.send(prometheus.GaugeValue, name, help, value, label)
}

// send sends a metric with a label and its value, if they are given.
func (s sender) send(kind prometheus.ValueType, name, help string, value float64, label []string) {
	names, values := label[:len(label)/2], label[len(label)/2:]
	s <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+"_"+name, help, names, nil), kind, value, values...)
}
