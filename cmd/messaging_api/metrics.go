package main

import (
	"runtime/debug"
	"slices"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/ops"
	"messaging_api/internal/store"
	"messaging_api/internal/web"
)

// newMetrics returns the service's figures, all of them at zero. Whatever becomes
// a label is named here.
func newMetrics() *ops.Metrics {
	return ops.NewMetrics(ops.MetricsConfig{
		Version:  version(),
		Revision: revision(),
		// What is called other is there by itself.
		Routes: slices.DeleteFunc(web.RouteNames(), func(name string) bool { return name == ops.Other }),
		Limits: []string{
			limit.Create.String(), limit.Read.String(), limit.Miss.String(),
			limit.Bytes.String(), limit.ReadBytes.String(),
		},
		Admissions: limit.Admissions(),
		Events:     append(web.MessageEvents(), eventTakenDown),
	})
}

// revision is the commit that the binary was built from, where it knows.
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

// requestMetrics are [ops.Metrics] as package web wants them.
type requestMetrics struct{ *ops.Metrics }

// Refused implements [web.Observer]. Too many requests at once is the service's
// limit and no client's, so it has a figure of its own.
func (m requestMetrics) Refused(limit string) {
	if limit == web.LimitInFlight {
		m.Shed()
		return
	}
	m.Metrics.Refused(limit)
}

// connMetrics are [ops.Metrics] as package limit wants them, and the log of the connections that
// were closed.
type connMetrics struct {
	*ops.Metrics
	floods *floodLog
}

// Turned implements [limit.Observer].
func (m connMetrics) Turned(admission string, c limit.Client) {
	m.Metrics.Turned(admission)
	m.floods.connectionClosed(admission, c)
}

// watched is what a scrape asks for.
type watched struct {
	table    *limit.Table
	budgets  budgets
	load     *web.InFlight
	admitted []*limit.Listener // nil: a way that is off
	source   certificateSource
	ready    *ops.Readiness
	monitor  *storeMonitor
	logs     logOutput
	resolver *limit.Resolver
}

// watch lets scrapes ask.
func (w watched) watch(m *ops.Metrics) {
	m.WatchClients(
		func() int { return w.table.Stats().Clients },
		func() uint64 { return w.table.Stats().Overflows })
	m.WatchSharedLimits(w.fallbacks)
	m.WatchInFlight(w.load.Now)
	m.WatchConnections(w.connections)
	m.WatchChecks(w.ready)
	m.WatchLog(w.logs.Lost)
	m.WatchUnforwarded(func() uint64 {
		count, _ := w.resolver.Unforwarded()
		return count
	})
	if w.source != nil {
		watchCertificates(m, w.source)
	}
	m.WatchSpace(w.monitor.space)
	switch messages := w.monitor.messages.(type) {
	case *store.Redis:
		m.WatchPool(func() ops.Pool { return ops.Pool(messages.Pool()) })
	case *store.Bolt:
		m.WatchClock(messages.ClockJumps)
	}
}

// fallbacks returns how many decisions about shared limits Redis did not make.
func (w watched) fallbacks() uint64 {
	if shared, ok := w.budgets.(*limit.Shared); ok {
		return shared.Fallbacks()
	}
	return 0
}

// connections returns how many are open.
func (w watched) connections() (open int) {
	for _, l := range w.admitted {
		if l != nil {
			open += l.Open()
		}
	}
	return open
}

// watchCertificates names each certificate by where it comes from, a file or a
// host. That is the same for as long as the service runs.
func watchCertificates(m *ops.Metrics, source certificateSource) {
	var names []string
	for _, info := range source.Certificates() {
		if !slices.Contains(names, info.Source) {
			names = append(names, info.Source)
		}
	}
	m.WatchCertificates(names, func(name string) (end time.Time) {
		for _, info := range source.Certificates() {
			if info.Source == name {
				end = info.NotAfter
			}
		}
		return end
	})
}
