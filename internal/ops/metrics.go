package ops

import (
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "messaging_api"

// Other is the label's value for all that is not named in advance. Labels never come
// from a client: each new value costs memory until the process ends, here and in
// Prometheus.
const Other = "other"

// A MetricsConfig names the values of the labels of [Metrics].
type MetricsConfig struct {
	Version, Revision string   // of the build
	Routes            []string // patterns, as in http.Request.Pattern
	Limits            []string // limits that refuse requests
	Admissions        []string // limits that refuse connections
	Events            []string // that happen to messages
}

// Metrics are the figures of the service, in a registry of their own. Its methods
// are safe for concurrent use. Those called Watch… are called once each, before the
// first scrape. Their functions are called at each scrape, must be safe for concurrent
// use, and return at once.
//
// It is an http.Handler that answers a scrape.
type Metrics struct {
	registry *prometheus.Registry
	scrape   http.Handler

	requests requests
	traffic  traffic
	store    storeCalls
	messages messages
}

// NewMetrics returns Metrics with all of its own figures at zero.
func NewMetrics(c MetricsConfig) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	f := factory{m.registry}
	m.scrape = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, // each holds all of its answer in memory
		EnableOpenMetrics:   true,
	})
	m.requests = newRequests(f, c.Routes, c.Limits)
	m.traffic = newTraffic(f, c.Admissions)
	m.store = newStoreCalls(f)
	m.messages = newMessages(f, c.Events)
	f.gaugeVec("build_info", "What runs: always 1, the build is in the labels.", "version", "revision", "goversion").
		WithLabelValues(c.Version, c.Revision, runtime.Version()).Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ServeHTTP answers a scrape, in the format that it asks for. Native histograms are
// only in the protobuf one.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.scrape.ServeHTTP(w, r) }

// A factory makes metrics in a registry. It panics where a name is given twice, which
// is a mistake in this package.
type factory struct{ registry *prometheus.Registry }

func (f factory) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	f.registry.MustRegister(c)
	return c
}

func (f factory) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.registry.MustRegister(v)
	return v
}

func (f factory) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.registry.MustRegister(v)
	return v
}

func (f factory) gaugeFunc(name, help string, value func() float64) {
	f.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value))
}

func (f factory) counterFunc(name, help string, value func() float64) {
	f.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, value))
}

// durations makes histograms of seconds, both classic, for every Prometheus, and
// native, whose buckets are 10 % apart wherever the values lie.
func (f factory) durations(name, help string, label string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                         []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{label})
	f.registry.MustRegister(v)
	return v
}

// values are the values that a label can have, known in advance.
type values []string

// label returns the value, or Other for an unknown one.
func (v values) label(value string) string {
	if slices.Contains(v, value) {
		return value
	}
	return Other
}

// counters are a vector with one label.
type counters struct {
	vec    *prometheus.CounterVec
	values values
}

// counters makes a vector with all of its values at zero.
func (f factory) counters(name, help, label string, values values) counters {
	c := counters{f.counterVec(name, help, label), values}
	for _, value := range append(slices.Clip(values), Other) {
		c.of(value)
	}
	return c
}

// of returns the counter of a value, or that of all unknown ones.
func (c counters) of(value string) prometheus.Counter {
	return c.vec.WithLabelValues(c.values.label(value))
}
