package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A StoreOp is what a store was asked to do.
type StoreOp uint8

// The operations of a store.
const (
	StorePut StoreOp = iota
	StoreGet
	storeOps
)

// A StoreOutcome is how a store answered.
type StoreOutcome uint8

// The outcomes of an operation. Only those from StoreFull on are trouble.
const (
	StoreOK StoreOutcome = iota
	StoreNotFound
	StoreExists
	StoreFull
	StoreUnavailable
	StoreFailed // in a way that has no name here
	storeOutcomes
)

// storeCalls counts and times what stores do.
type storeCalls struct {
	calls   [storeOps][storeOutcomes]prometheus.Counter
	latency [storeOps]prometheus.Observer
}

func newStoreCalls(f factory) storeCalls {
	var s storeCalls
	latency := f.durations("store_duration_seconds", "Time that the store took to answer, or to fail.", "op")
	calls := f.counterVec("store_calls_total", "Operations of the store, by how they ended.", "op", "outcome")
	for op, name := range [storeOps]string{"put", "get"} {
		s.latency[op] = latency.WithLabelValues(name)
		for outcome, label := range [storeOutcomes]string{"ok", "not_found", "exists", "full", "unavailable", "failed"} {
			s.calls[op][outcome] = calls.WithLabelValues(name, label)
		}
	}
	return s
}

// StoreCall counts one operation of the store, which took so long.
func (m *Metrics) StoreCall(op StoreOp, outcome StoreOutcome, took time.Duration) {
	m.store.calls[op][outcome].Inc()
	m.store.latency[op].Observe(took.Seconds())
}

// A Pool is the state of a store's connections.
type Pool struct {
	Open, Idle int
	Timeouts   uint64 // how often none was free in time, since the start
}

// WatchPool has the state of the store's connections.
func (m *Metrics) WatchPool(pool func() Pool) {
	f := factory{m.registry}
	f.gaugeFunc("store_connections_open", "Connections to the store.",
		func() float64 { return float64(pool().Open) })
	f.gaugeFunc("store_connections_idle", "Connections to the store that nobody uses.",
		func() float64 { return float64(pool().Idle) })
	f.counterFunc("store_connection_timeouts_total", "Operations for which no connection to the store was free in time.",
		func() float64 { return float64(pool().Timeouts) })
}

// WatchSpace has the bytes that the store uses and may use at most. While it is
// not known, and both are zero, there are no such figures; what the store refuses
// for want of room is counted all the same.
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
