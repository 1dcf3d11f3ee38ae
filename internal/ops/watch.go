package ops

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchCertificates shows the end of each named certificate's validity. The zero time, of
// a certificate that is not there yet, is 0: long expired.
func (m *Metrics) WatchCertificates(names []string, notAfter func(name string) time.Time) {
	m.registry.MustRegister(&labelled{
		desc: prometheus.NewDesc(namespace+"_certificate_expiry_timestamp_seconds",
			"End of the validity of the certificate that is served; 0 if there is none.", []string{"name"}, nil),
		values: func(add func(label string, value float64)) {
			for _, name := range names {
				end := 0.0
				if t := notAfter(name); !t.IsZero() {
					end = float64(t.Unix())
				}
				add(name, end)
			}
		},
	})
}

// WatchChecks shows each check of readiness, which a scrape may run.
func (m *Metrics) WatchChecks(ready *Readiness) {
	m.registry.MustRegister(&labelled{
		desc: prometheus.NewDesc(namespace+"_check_ok",
			"Whether a check of readiness passes.", []string{"check"}, nil),
		values: func(add func(label string, value float64)) {
			for _, result := range ready.Report(context.Background()) { // ends within a second
				ok := 0.0
				if result.OK {
					ok = 1
				}
				add(result.Name, ok)
			}
		},
	})
}

// WatchLog shows the number of log lines that did not reach the file, or stdout.
func (m *Metrics) WatchLog(lost func() uint64) {
	factory{m.registry}.counterFunc("log_lines_lost_total", "Log lines that did not reach the log file, or stdout.",
		func() float64 { return float64(lost()) })
}

// WatchUnforwarded shows the number of requests whose client a trusted proxy did not name.
func (m *Metrics) WatchUnforwarded(count func() uint64) {
	factory{m.registry}.counterFunc("unforwarded_requests_total", "Requests from a trusted proxy without a usable X-Forwarded-For.",
		func() float64 { return float64(count()) })
}

// labelled is a gauge with one label, computed at each scrape.
type labelled struct {
	desc   *prometheus.Desc
	values func(add func(label string, value float64))
}

// Describe is for prometheus.Collector.
func (l *labelled) Describe(descs chan<- *prometheus.Desc) { descs <- l.desc }

// Collect is for prometheus.Collector.
func (l *labelled) Collect(metrics chan<- prometheus.Metric) {
	l.values(func(label string, value float64) {
		metrics <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, value, label)
	})
}
