package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/ops"
	"messaging_api/internal/store"
)

// A countedStore counts and times the calls of a store, and notes outages.
type countedStore struct {
	store   messageStore // not embedded, so that a new method without a count does not compile
	metrics *ops.Metrics
	outages *outageLog
}

// ping asks the store whether it answers. Its error names the flag to check.
func (c countedStore) ping(ctx context.Context) error {
	err := c.store.Ping(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // the service stops
	}
	return c.outages.note(err, time.Now())
}

// Put implements [message.Store].
func (c countedStore) Put(ctx context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	err := c.count(ctx, storePut, func() error { return c.store.Put(ctx, key, record, text, ttl) })
	if err == nil {
		c.metrics.Created(len(record) + len(text))
	}
	return err
}

// Get implements [message.Store].
func (c countedStore) Get(ctx context.Context, key message.Key) (record []byte, err error) {
	err = c.count(ctx, storeGet, func() error {
		record, err = c.store.Get(ctx, key)
		return err
	})
	if err == nil {
		c.metrics.Read(len(record))
	}
	return record, err
}

// Swap implements [message.Store].
func (c countedStore) Swap(ctx context.Context, key message.Key, old, record []byte, life message.TextLife) (text []byte, err error) {
	err = c.count(ctx, storeSwap, func() error {
		text, err = c.store.Swap(ctx, key, old, record, life)
		return err
	})
	if err == nil {
		c.metrics.ReadText(len(text))
	}
	return text, err
}

// count counts a call and returns its error. It does not count a call that failed because
// its client has gone.
func (c countedStore) count(ctx context.Context, call string, ask func() error) error {
	start := time.Now()
	err := ask()
	if err == nil || ctx.Err() == nil {
		c.metrics.StoreCall(call, storeOutcome(err), time.Since(start))
		_ = c.outages.note(err, time.Now()) // the error itself goes to the client's answer
	}
	return err
}

// The calls of a store, as the metrics name them.
const (
	storePut  = "put"
	storeGet  = "get"
	storeSwap = "swap"
)

// outcomes are how such calls end, as the metrics name that.
var outcomes = [...]struct {
	err  error
	name string
}{
	{nil, "ok"},
	{message.ErrNotFound, "not_found"},
	{message.ErrExists, "exists"},
	{message.ErrConflict, "conflict"},
	{message.ErrFull, "full"},
	{message.ErrUnavailable, "unavailable"},
}

const otherOutcome = "failed"

func storeOutcome(err error) string {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return otherOutcome
}

func storeOutcomes() []string {
	names := []string{otherOutcome}
	for _, o := range outcomes {
		names = append(names, o.name)
	}
	return names
}

// outageEnd is how long no call must fail before an outage counts as over. Otherwise a
// store that answers every other call would fill the log.
const outageEnd = time.Second

// An outageLog logs once that the store stopped answering, and once that it answers again.
// Requests and readiness checks report to it.
type outageLog struct {
	log     *slog.Logger
	explain func(error) error // adds the flag to check

	mu     sync.Mutex // guards what follows
	lost   bool       // whether an outage was logged
	since  time.Time  // its beginning
	failed time.Time  // the last failure
}

// note records the result of a store call, and returns its error with an explanation.
func (o *outageLog) note(err error, now time.Time) error {
	unavailable := errors.Is(err, message.ErrUnavailable)
	if unavailable {
		err = o.explain(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case unavailable && !o.lost:
		o.lost, o.since, o.failed = true, now, now
		o.log.Error("the store does not answer", "event", "store_lost", "error", err)
	case unavailable:
		o.failed = now
	case o.lost && now.Sub(o.failed) >= outageEnd:
		o.lost = false
		o.log.Info("the store answers again", "event", "store_back", "lost_for", now.Sub(o.since).Round(time.Millisecond).String())
	}
	return err
}

// A storeMonitor is the readiness check of the store. From Redis it also learns how full
// it is, and the risks that it loses messages.
type storeMonitor struct {
	countedStore

	log    *slog.Logger
	logged string                     // the last reason that was logged about Redis; used by check only
	last   atomic.Pointer[store.Info] // the last answer of Redis; nil: none yet
}

// check is for [ops.Check]. Its detail names the risks. It logs what Redis reports if that
// has changed, or after an outage, because it may be another Redis then. Without the right
// to INFO, only this report is missing.
func (m *storeMonitor) check(ctx context.Context) (detail string, err error) {
	if err := m.ping(ctx); err != nil {
		m.logged = ""
		return "", err
	}
	r, ok := m.store.(*store.Redis)
	if !ok {
		return "", nil
	}
	info, err := r.Info(ctx)
	if ctx.Err() != nil {
		return "", nil //nolint:nilerr // Redis is slow, but has answered the ping
	}
	reason := strings.Join(info.Risks, "; ")
	if err != nil {
		reason = err.Error()
	} else {
		m.last.Store(&info)
	}
	switch {
	case reason == m.logged:
	case err != nil:
		m.log.Info("Redis does not say how full it is and whether it may lose messages", "event", "store_space", "error", err)
	case reason != "":
		m.log.Warn("Redis may lose messages, or refuse them", "event", "store_unsafe", "reason", reason)
	}
	m.logged = reason
	if len(info.Risks) == 0 {
		return "", nil
	}
	return "Redis may lose messages, or refuse them: " + reason, nil
}

// space returns the bytes that the store uses and that it may use, as
// [store.Bolt.Space]: both are zero where that is not known.
func (m *storeMonitor) space() (used, limit uint64) {
	if b, ok := m.store.(*store.Bolt); ok {
		return b.Space()
	}
	if last := m.last.Load(); last != nil {
		return last.Used, last.Limit
	}
	return 0, 0
}
