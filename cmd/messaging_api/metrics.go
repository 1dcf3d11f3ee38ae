package main

import (
	"context"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/ops"
	"messaging_api/internal/store"
	"messaging_api/internal/web"
)

// newMetrics returns the service's metrics, and names the values of their labels.
func newMetrics() *ops.Metrics {
	version, revision := build()
	return ops.NewMetrics(ops.MetricsConfig{
		Version:  version,
		Revision: revision,
		Routes:   web.RouteNames(),
		Limits: []string{
			limit.Create.String(), limit.TokenCreate.String(), limit.Read.String(), limit.Miss.String(),
			limit.Bytes.String(), limit.ReadBytes.String(),
		},
		Shed:          web.LimitInFlight,
		Admissions:    limit.Admissions(),
		Events:        append(web.MessageEvents(), eventTakenDown),
		StoreCalls:    []string{storePut, storeGet, storeSwap},
		StoreOutcomes: storeOutcomes(),
	})
}

// state is for [ops.Metrics.Watch].
func (s *servers) state() ops.State {
	clients := s.table.Stats()
	state := ops.State{
		InFlight:  s.load.Now(),
		Clients:   clients.Clients,
		Overflows: clients.Overflows,
		Checks:    s.ready.Report(context.Background()), // ends within a second
	}
	for _, queue := range s.logs {
		state.LostLines += queue.Lost()
	}
	state.Unforwarded, _ = s.resolver.Unforwarded()
	state.StoreUsed, state.StoreLimit = s.monitor.space()
	if last := s.monitor.outages.written.Load(); last != nil {
		state.Writable = last.refusal == nil
	}
	for _, l := range s.admitted {
		if l != nil {
			state.Connections += l.Open()
		}
	}
	if shared, ok := s.budgets.(*limit.Shared); ok {
		state.Fallbacks = shared.Fallbacks()
	}
	if s.tokens != nil {
		state.Creations = s.tokens.counts()
	}
	if s.source != nil {
		state.Certificates = make(map[string]time.Time)
		for _, info := range s.source.Certificates() {
			state.Certificates[info.Source] = info.NotAfter
		}
	}
	switch messages := s.messages.(type) {
	case *store.Redis:
		pool := ops.Pool(messages.Pool())
		state.Pool = &pool
	case *store.Bolt:
		state.ClockJumps = messages.ClockJumps()
	}
	return state
}
