package main

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"messaging_api/internal/ops"
	"messaging_api/internal/store"
)

const (
	// monitorEvery is how often Redis is asked about itself.
	monitorEvery = 15 * time.Second
	// infoLife is how long an answer is used if there is no newer one.
	infoLife = 4 * monitorEvery
)

// A storeMonitor knows how full the store is, and the risks that Redis loses messages. It
// asks an embedded store when a scrape asks, and Redis, which may hang, in the background.
type storeMonitor struct {
	messages messageStore
	ping     func(context.Context) error // reports an outage
	log      *slog.Logger
	logged   string // the last reason that was logged about Redis; used by run only
	last     atomic.Pointer[redisInfo]
}

// A redisInfo is an answer of Redis.
type redisInfo struct {
	store.Info
	at time.Time
}

// space returns the bytes that the store uses and that it may use, as
// [store.Bolt.Space]: both are zero where that is not known.
func (m *storeMonitor) space() (used, limit uint64) {
	if b, ok := m.messages.(*store.Bolt); ok {
		return b.Space()
	}
	if last := m.last.Load(); last != nil && time.Since(last.at) <= infoLife {
		return last.Used, last.Limit
	}
	return 0, 0
}

// run asks Redis until ctx ends.
func (m *storeMonitor) run(ctx context.Context) {
	r, ok := m.messages.(*store.Redis)
	for ok && ctx.Err() == nil {
		m.ask(ctx, r)
		pause(ctx, monitorEvery)
	}
}

// ask logs the risks that Redis reports if they have changed, or after an outage, because
// it may be another Redis then. Without the right to INFO, only this report is missing.
func (m *storeMonitor) ask(ctx context.Context, r *store.Redis) {
	if m.ping(ctx) != nil {
		m.logged = ""
		return
	}
	info, err := r.Info(ctx)
	if ctx.Err() != nil {
		return
	}
	reason := strings.Join(info.Risks, "; ")
	if err != nil {
		reason = err.Error()
	} else {
		m.last.Store(&redisInfo{info, time.Now()})
	}
	switch {
	case reason == m.logged:
	case err != nil:
		m.log.Info("Redis does not say how full it is and whether it may lose messages", "event", "store_space", "error", err)
	case reason != "":
		m.log.Warn("Redis may lose messages, or refuse them", "event", "store_unsafe", "reason", reason)
	}
	m.logged = reason
}

// check is the readiness check of the store. Its detail names the risks.
func (m *storeMonitor) check() ops.Check {
	return ops.Check{Name: "store", Run: func(ctx context.Context) (string, error) {
		if err := m.ping(ctx); err != nil {
			return "", err
		}
		if last := m.last.Load(); last != nil && len(last.Risks) > 0 {
			return "Redis may lose messages, or refuse them: " + strings.Join(last.Risks, "; "), nil
		}
		return "", nil
	}}
}

// pause waits for this time, or until ctx ends.
func pause(ctx context.Context, long time.Duration) {
	select {
	case <-time.After(long):
	case <-ctx.Done():
	}
}
