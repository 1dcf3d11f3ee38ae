package main

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/ops"
	"messaging_api/internal/store"
	"messaging_api/internal/web"
)

// newMetrics returns the service's metrics, and names the values of their labels.
func newMetrics() *ops.Metrics {
	return ops.NewMetrics(ops.MetricsConfig{
		Version:  version(),
		Revision: revision(),
		// ops adds the value other itself.
		Routes: slices.DeleteFunc(web.RouteNames(), func(name string) bool { return name == ops.Other }),
		Limits: []string{
			limit.Create.String(), limit.Read.String(), limit.Miss.String(),
			limit.Bytes.String(), limit.ReadBytes.String(),
		},
		Admissions: limit.Admissions(),
		Events:     append(web.MessageEvents(), eventTakenDown),
		StoreCalls: []string{storePut, storeGet, storeSwap}, StoreOutcomes: storeOutcomes(),
	})
}

// revision is the commit that the binary was built from, if it knows.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return ""
}

// requestMetrics implement [web.Observer].
type requestMetrics struct{ *ops.Metrics }

// Refused implements [web.Observer]. The limit of requests at once is the service's and
// not a client's, so it has a metric of its own.
func (m requestMetrics) Refused(limit string) {
	if limit == web.LimitInFlight {
		m.Shed()
		return
	}
	m.Metrics.Refused(limit)
}

// connMetrics implement [limit.Observer], and log the connections that were closed.
type connMetrics struct {
	*ops.Metrics
	floods *floodLog
}

// Turned implements [limit.Observer].
func (m connMetrics) Turned(admission string, c limit.Client) {
	m.ConnectionRefused(admission)
	m.floods.connectionClosed(admission, c)
}

// A stateReader reads the state of the service for a scrape.
type stateReader struct {
	table    *limit.Table
	budgets  budgets
	load     *web.InFlight
	admitted []*limit.Listener // nil: a listener that is off
	source   certificateSource // nil: TLS is off
	ready    *ops.Readiness
	monitor  *storeMonitor
	logs     logOutput
	resolver *limit.Resolver
}

// state is for [ops.Metrics.Watch].
func (r stateReader) state() ops.State {
	stats := r.table.Stats()
	s := ops.State{
		InFlight:  r.load.Now(),
		Clients:   stats.Clients,
		Overflows: stats.Overflows,
		LostLines: r.logs.Lost(),
		Checks:    r.ready.Report(context.Background()), // ends within a second
	}
	s.Unforwarded, _ = r.resolver.Unforwarded()
	s.StoreUsed, s.StoreLimit = r.monitor.space()
	for _, l := range r.admitted {
		if l != nil {
			s.Connections += l.Open()
		}
	}
	if shared, ok := r.budgets.(*limit.Shared); ok {
		s.Fallbacks = shared.Fallbacks()
	}
	if r.source != nil {
		s.Certificates = make(map[string]time.Time)
		for _, info := range r.source.Certificates() {
			s.Certificates[info.Source] = info.NotAfter
		}
	}
	switch messages := r.monitor.messages.(type) {
	case *store.Redis:
		pool := ops.Pool(messages.Pool())
		s.Pool = &pool
	case *store.Bolt:
		s.ClockJumps = messages.ClockJumps()
	}
	return s
}
