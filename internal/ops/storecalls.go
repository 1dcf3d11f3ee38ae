package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A StoreOp is an operation of a store, as the metrics' label has it.
type StoreOp string

// The operations of a store.
const (
	StorePut  StoreOp = "put"
	StoreGet  StoreOp = "get"
	StoreSwap StoreOp = "swap"
)

// A StoreOutcome is how an operation ended, as the metrics' label has it.
type StoreOutcome string

// The outcomes of an operation.
const (
	StoreOK          StoreOutcome = "ok"
	StoreNotFound    StoreOutcome = "not_found"
	StoreExists      StoreOutcome = "exists"
	StoreConflict    StoreOutcome = "conflict" // another change of the same record came first
	StoreFull        StoreOutcome = "full"
	StoreUnavailable StoreOutcome = "unavailable"
	StoreFailed      StoreOutcome = "failed" // in another way
)

// storeCalls counts and times the operations of the store.
type storeCalls struct {
	calls   *prometheus.CounterVec
	latency *prometheus.HistogramVec
}

func newStoreCalls(f factory) storeCalls {
	s := storeCalls{
		calls:   f.counterVec("store_calls_total", "Operations of the store, by how they ended.", "op", "outcome"),
		latency: f.durations("store_duration_seconds", "Time that the store took to answer, or to fail.", "op"),
	}
	for _, op := range []StoreOp{StorePut, StoreGet, StoreSwap} {
		s.latency.WithLabelValues(string(op))
		for _, outcome := range []StoreOutcome{StoreOK, StoreNotFound, StoreExists, StoreConflict, StoreFull, StoreUnavailable, StoreFailed} {
			s.calls.WithLabelValues(string(op), string(outcome))
		}
	}
	return s
}

// StoreCall counts one operation of the store, which took so long.
func (m *Metrics) StoreCall(op StoreOp, outcome StoreOutcome, took time.Duration) {
	m.store.calls.WithLabelValues(string(op), string(outcome)).Inc()
	m.store.latency.WithLabelValues(string(op)).Observe(took.Seconds())
}

// A Pool is the state of a store's connections.
type Pool struct {
	Open, Idle int
	Timeouts   uint64 // how often no connection was free in time, since the start
}

// WatchPool shows the state of the store's connections.
func (m *Metrics) WatchPool(pool func() Pool) {
	f := factory{m.registry}
	f.gaugeFunc("store_connections_open", "Connections to the store.",
		func() float64 { return float64(pool().Open) })
	f.gaugeFunc("store_connections_idle", "Connections to the store that are idle.",
		func() float64 { return float64(pool().Idle) })
	f.counterFunc("store_connection_timeouts_total", "Operations for which no connection to the store was free in time.",
		func() float64 { return float64(pool().Timeouts) })
}

// WatchSpace shows the bytes that the store uses and may use at most. While both are
// zero, which means unknown, there are no such figures.
func (m *Metrics) WatchSpace(space func() (used, limit uint64)) {
	m.registry.MustRegister(&spaceGauges{
		used:  prometheus.NewDesc(namespace+"_store_used_bytes", "Bytes that the store uses.", nil, nil),
		limit: prometheus.NewDesc(namespace+"_store_limit_bytes", "Bytes that the store may use at most; 0 if there is no limit.", nil, nil),
		space: space,
	})
}

// spaceGauges are two figures of one moment.
type spaceGauges struct {
	used, limit *prometheus.Desc
	space       func() (used, limit uint64)
}

// Describe is for prometheus.Collector.
func (g *spaceGauges) Describe(descs chan<- *prometheus.Desc) {
	descs <- g.used
	descs <- g.limit
}

// Collect is for prometheus.Collector.
func (g *spaceGauges) Collect(metrics chan<- prometheus.Metric) {
	used, limit := g.space()
	if used == 0 && limit == 0 {
		return
	}
	metrics <- prometheus.MustNewConstMetric(g.used, prometheus.GaugeValue, float64(used))
	metrics <- prometheus.MustNewConstMetric(g.limit, prometheus.GaugeValue, float64(limit))
}

// WatchClock has how often the store found that the clock was set.
func (m *Metrics) WatchClock(jumps func() uint64) {
	factory{m.registry}.counterFunc("store_clock_jumps_total",
		"How often the clock was set by more than a minute; after each, expired messages keep their space for an hour.",
		func() float64 { return float64(jumps()) })
}
