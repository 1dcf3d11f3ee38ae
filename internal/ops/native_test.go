package ops

import (
	"testing"
	"time"
)

// Each histogram is native and classic, with the same samples.
func TestHistogramsAreNativeAndClassic(t *testing.T) {
	m := NewMetrics(MetricsConfig{Routes: []string{"GET /"}})
	for i := range 100 {
		m.Request("GET /", "HTTP/2.0", 200, time.Duration(i)*time.Millisecond)
		m.StoreCall("get", "ok", time.Duration(i)*time.Millisecond)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			h := metric.GetHistogram()
			if h.GetSampleCount() != 100 {
				continue
			}
			found++
			if spans, buckets := len(h.GetPositiveSpan()), len(h.GetBucket()); spans == 0 || buckets != 14 {
				t.Errorf("%s has %d spans of native buckets and %d classic buckets, want some and 14", family.GetName(), spans, buckets)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d histograms have 100 samples, want those of the requests and the store", found)
	}
}
