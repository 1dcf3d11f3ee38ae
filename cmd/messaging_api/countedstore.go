package main

import (
	"context"
	"errors"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/ops"
)

// A countedStore counts and times the calls of a store, and notes outages.
type countedStore struct {
	store   messageStore // not embedded, so that a new method without a count does not compile
	metrics *ops.Metrics
	outages *outageLog
}

// Ping implements [messageStore]. Its error names the flag to check.
func (c countedStore) Ping(ctx context.Context) error {
	return c.outages.note(c.store.Ping(ctx), time.Now())
}

// Close implements [messageStore].
func (c countedStore) Close() error { return c.store.Close() }

// Put implements [message.Store].
func (c countedStore) Put(ctx context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	start := time.Now()
	err := c.store.Put(ctx, key, record, text, ttl)
	c.count(ctx, storePut, err, start)
	if err == nil {
		c.metrics.Created(len(record) + len(text))
	}
	return err
}

// Get implements [message.Store].
func (c countedStore) Get(ctx context.Context, key message.Key) ([]byte, error) {
	start := time.Now()
	value, err := c.store.Get(ctx, key)
	c.count(ctx, storeGet, err, start)
	if err == nil {
		c.metrics.Read(len(value))
	}
	return value, err
}

// GetText implements [message.Store].
func (c countedStore) GetText(ctx context.Context, key message.Key) (record, text []byte, err error) {
	start := time.Now()
	record, text, err = c.store.GetText(ctx, key)
	c.count(ctx, storeGet, err, start)
	if err == nil {
		c.metrics.Read(len(record) + len(text))
	}
	return record, text, err
}

// Swap implements [message.Store].
func (c countedStore) Swap(ctx context.Context, key message.Key, old, record []byte, text message.TextLife) error {
	start := time.Now()
	err := c.store.Swap(ctx, key, old, record, text)
	c.count(ctx, storeSwap, err, start)
	return err
}

// count does not count a call that failed because its client has gone.
func (c countedStore) count(ctx context.Context, call string, err error, start time.Time) {
	if err != nil && ctx.Err() != nil {
		return
	}
	c.metrics.StoreCall(call, storeOutcome(err), time.Since(start))
	_ = c.outages.note(err, time.Now()) // the error itself goes to the client's answer
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
