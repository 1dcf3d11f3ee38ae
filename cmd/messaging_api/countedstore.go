package main

import (
	"context"
	"errors"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/ops"
)

// A countedStore counts and times the calls of a store, and reports when the
// store stops answering.
type countedStore struct {
	store   messageStore // not embedded: a method that is not counted must not compile
	metrics *ops.Metrics
	outages *outageLog
}

// Ping implements [messageStore]. Its error says which setting to check.
func (c countedStore) Ping(ctx context.Context) error {
	return c.outages.note(c.store.Ping(ctx), time.Now())
}

// Close implements [messageStore].
func (c countedStore) Close() error { return c.store.Close() }

// Put implements [message.Store].
func (c countedStore) Put(ctx context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	start := time.Now()
	err := c.store.Put(ctx, key, record, text, ttl)
	c.count(ctx, ops.StorePut, err, time.Since(start))
	if err == nil {
		c.metrics.Created(len(record) + len(text))
	}
	return err
}

// Get implements [message.Store].
func (c countedStore) Get(ctx context.Context, key message.Key) ([]byte, error) {
	start := time.Now()
	value, err := c.store.Get(ctx, key)
	c.count(ctx, ops.StoreGet, err, time.Since(start))
	if err == nil {
		c.metrics.Read(len(value))
	}
	return value, err
}

// GetText implements [message.Store].
func (c countedStore) GetText(ctx context.Context, key message.Key) (record, text []byte, err error) {
	start := time.Now()
	record, text, err = c.store.GetText(ctx, key)
	c.count(ctx, ops.StoreGet, err, time.Since(start))
	if err == nil {
		c.metrics.Read(len(record) + len(text))
	}
	return record, text, err
}

// Swap implements [message.Store].
func (c countedStore) Swap(ctx context.Context, key message.Key, old, record []byte, text message.TextLife) error {
	start := time.Now()
	err := c.store.Swap(ctx, key, old, record, text)
	c.count(ctx, ops.StoreSwap, err, time.Since(start))
	return err
}

// count leaves out what failed because the client has gone: that says nothing
// about the store.
func (c countedStore) count(ctx context.Context, op ops.StoreOp, err error, took time.Duration) {
	if err != nil && ctx.Err() != nil {
		return
	}
	c.metrics.StoreCall(op, outcomeOf(err), took)
	_ = c.outages.note(err, time.Now()) // the error itself goes to the client's answer
}

// outcomeOf maps the errors of a [message.Store].
func outcomeOf(err error) ops.StoreOutcome {
	switch {
	case err == nil:
		return ops.StoreOK
	case errors.Is(err, message.ErrNotFound):
		return ops.StoreNotFound
	case errors.Is(err, message.ErrExists):
		return ops.StoreExists
	case errors.Is(err, message.ErrConflict):
		return ops.StoreConflict
	case errors.Is(err, message.ErrFull):
		return ops.StoreFull
	case errors.Is(err, message.ErrUnavailable):
		return ops.StoreUnavailable
	}
	return ops.StoreFailed
}
