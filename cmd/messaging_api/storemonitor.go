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
	// infoLife is how long an answer counts when no other one comes.
	infoLife = 4 * monitorEvery
)

// A storeMonitor knows how full the store is, and why messages that it holds may
// be lost. An embedded store is asked when that is wanted; a Redis, which may
// hang, in the background, from the start on.
type storeMonitor struct {
	messages messageStore
	ping     func(context.Context) error // reports an outage
	log      *slog.Logger
	told     string // the last that was logged about Redis; run's
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

// ask logs what Redis tells when that is new, or when Redis was lost meanwhile: it
// may be another one now. A user without the right to INFO lacks only this.
func (m *storeMonitor) ask(ctx context.Context, r *store.Redis) {
	if m.ping(ctx) != nil {
		m.told = ""
		return
	}
	info, err := r.Info(ctx)
	if ctx.Err() != nil {
		return
	}
	told := strings.Join(info.Risks, "; ")
	if err != nil {
		told = err.Error()
	} else {
		m.last.Store(&redisInfo{info, time.Now()})
	}
	switch {
	case told == m.told:
	case err != nil:
		m.log.Info("Redis does not say how full it is and whether it may lose messages", "event", "store_space", "error", err)
	case told != "":
		m.log.Warn("Redis may lose messages, or refuse them", "event", "store_unsafe", "reason", told)
	}
	m.told = told
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

// pause waits, or for the end of ctx.
func pause(ctx context.Context, long time.Duration) {
	select {
	case <-time.After(long):
	case <-ctx.Done():
	}
}
