package ops

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "messaging_api"

// Other is the label of whatever is not named in advance. Labels never come from a
// client: each new value would cost memory until the process ends, here and in
// Prometheus.
const Other = "other"

// A MetricsConfig names in advance what the labels of [Metrics] can be.
type MetricsConfig struct {
	Version, Revision string   // of the build
	Routes            []string // patterns, as in http.Request.Pattern
	Limits            []string // limits that refuse requests
	Admissions        []string // limits that refuse connections
}

// Metrics are the figures of the service, in a registry of their own. Its methods
// are safe for concurrent use. Those that are called for each request look
// nothing up in a registry and allocate nothing; those called Watch… are called
// once each, before the first scrape, with functions that are safe for
// concurrent use, return at once, and are asked at each scrape.
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
	m.messages = newMessages(f)
	f.gaugeVec("build_info", "What runs: always 1, the build is in the labels.", "version", "revision", "goversion").
		WithLabelValues(c.Version, c.Revision, runtime.Version()).Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ServeHTTP answers a scrape, in the format that it asks for; native histograms are
// only in the protobuf one.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.scrape.ServeHTTP(w, r) }

// A factory makes metrics that are in a registry. Its errors are the program's
// own (a name given twice), so it panics.
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

// counters are those of a vector with one label, by its values known in advance.
type counters struct {
	byValue map[string]prometheus.Counter
	other   prometheus.Counter
}

func (f factory) counters(name, help, label string, values []string) counters {
	vec := f.counterVec(name, help, label)
	c := counters{make(map[string]prometheus.Counter, len(values)), vec.WithLabelValues(Other)}
	for _, v := range values {
		c.byValue[v] = vec.WithLabelValues(v)
	}
	return c
}

// of returns the counter of a value, or that of all unknown ones.
func (c counters) of(value string) prometheus.Counter {
	if counter, ok := c.byValue[value]; ok {
		return counter
	}
	return c.other
}
