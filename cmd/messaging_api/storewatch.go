package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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

// A written tells how a write ended.
type written struct {
	refusal error // nil: the store took the write, or compared it and it did not match
	at      time.Time
}

// writeLife is how long a write counts as proof that the store takes writes.
const writeLife = time.Minute

// noteWrite keeps how a write ended, for readiness.
func (c countedStore) noteWrite(err error) {
	for _, answer := range []error{message.ErrExists, message.ErrConflict} {
		if errors.Is(err, answer) {
			err = nil
		}
	}
	c.outages.written.Store(&written{err, time.Now()})
}

// refusal returns why the store takes no writes, nil if it does. The last write decides. If
// that failed, or was longer ago than writeLife, a write is tried.
func (c countedStore) refusal(ctx context.Context) error {
	if last := c.outages.written.Load(); last == nil || last.refusal != nil || time.Since(last.at) > writeLife {
		if err := c.store.TryWrite(ctx); ctx.Err() == nil {
			c.noteWrite(err)
		}
	}
	if last := c.outages.written.Load(); last != nil {
		return last.refusal
	}
	return nil
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
	if err != nil && ctx.Err() != nil {
		return err
	}
	outcome := storeOutcome(err)
	c.metrics.StoreCall(call, outcome, time.Since(start))
	if outcome != outcomeReplicas && outcome != outcomeMisconf { // then other calls go on
		_ = c.outages.note(err, time.Now()) // the error itself goes to the client's answer
	}
	if call != storeGet {
		c.noteWrite(err)
	}
	return err
}

// The calls of a store, as the metrics name them.
const (
	storePut  = "put"
	storeGet  = "get"
	storeSwap = "swap"
)

// outcomes name, for the metrics, how such calls end. The first one counts that matches the
// error and the text in it. The text is Redis's, or the store's if Redis did not answer.
var outcomes = [...]struct {
	err  error
	text string
	name string
}{
	{nil, "", "ok"},
	{message.ErrNotFound, "", "not_found"},
	{message.ErrExists, "", "exists"},
	{message.ErrConflict, "", "conflict"},
	{message.ErrFull, "", "full"},
	{message.ErrUnavailable, "--redis-replicas", outcomeReplicas},
	{message.ErrUnavailable, "NOREPLICAS", outcomeReplicas},
	{message.ErrUnavailable, "MISCONF", outcomeMisconf},
	{message.ErrUnavailable, "LOADING", "loading"},
	{message.ErrUnavailable, "READONLY", "not_master"},
	{message.ErrUnavailable, "not the master", "not_master"},
	{message.ErrUnavailable, "NOPERM", "denied"},
	{message.ErrUnavailable, "no answer within", "timeout"},
	{message.ErrUnavailable, "i/o timeout", "timeout"},
	{message.ErrUnavailable, "", "unavailable"},
	{nil, "", "failed"}, // none of them
}

// Outcomes of writes, which do not mean that the store is down.
const (
	outcomeReplicas = "no_replicas" // too few
	outcomeMisconf  = "misconf"     // Redis cannot write to its disk
)

func storeOutcome(err error) string {
	for _, o := range outcomes {
		if errors.Is(err, o.err) && (err == nil || strings.Contains(err.Error(), o.text)) {
			return o.name
		}
	}
	return outcomes[len(outcomes)-1].name
}

func storeOutcomes() (names []string) {
	for _, o := range outcomes {
		names = append(names, o.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// outageEnd is how long no call must fail before an outage counts as over. Otherwise a
// store that answers every other call would fill the log.
const outageEnd = time.Second

// An outageLog logs once that the store stopped answering, and once that it answers again.
// It also keeps how the last write ended. Requests and readiness checks report to it.
type outageLog struct {
	log     *slog.Logger
	explain func(error) error       // adds the flag to check
	written atomic.Pointer[written] // the last write; nil: none yet

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

// check is for [ops.Check]. The service is ready if reads work. The detail says if writes do
// not, and names the risks. These are logged if they have changed, and after an outage,
// because it may be another Redis then. Without the right to INFO the rest still works.
func (m *storeMonitor) check(ctx context.Context) (detail string, err error) {
	if err := m.ping(ctx); err != nil {
		m.logged = ""
		return "", err
	}
	var risks []string
	var unknown error
	if r, ok := m.store.(*store.Redis); ok {
		var info store.Info
		if info, unknown = r.Info(ctx); ctx.Err() != nil {
			return "", nil //nolint:nilerr // Redis is slow, but has answered the ping
		}
		if unknown == nil {
			m.last.Store(&info)
			risks = info.Risks
		}
	}
	if refusal := m.refusal(ctx); refusal != nil {
		risks = append([]string{"it refuses writes: " + refusal.Error()}, risks...)
	}
	reason := strings.Join(risks, "; ")
	if all := fmt.Sprint(reason, unknown); all != m.logged {
		m.logged = all
		if unknown != nil {
			m.log.Info("Redis does not say how full it is and whether it may lose messages", "event", "store_space", "error", unknown)
		}
		if reason != "" {
			m.log.Warn("the store may lose messages, or refuses them", "event", "store_unsafe", "reason", reason)
		}
	}
	if reason == "" {
		return "", nil
	}
	return "the store may lose messages, or refuses them: " + reason, nil
}

// space returns the bytes that the store uses and that it may use, as
// [store.Bolt.Space]. Both are zero if they are not known.
func (m *storeMonitor) space() (used, limit uint64) {
	if b, ok := m.store.(*store.Bolt); ok {
		return b.Space()
	}
	if last := m.last.Load(); last != nil {
		return last.Used, last.Limit
	}
	return 0, 0
}
