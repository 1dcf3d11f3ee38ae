package main

import (
	"context"
	"errors"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/ops"
)

// measured is a store whose calls are counted and timed, and whose loss is said.
type measured struct {
	messageStore
	metrics *ops.Metrics
	watch   *storeWatch
}

// Ping implements [messageStore].
func (m measured) Ping(ctx context.Context) error {
	err := m.messageStore.Ping(ctx)
	m.watch.note(err, time.Now())
	return err
}

// Put implements [message.Store].
func (m measured) Put(ctx context.Context, key message.Key, value []byte, ttl time.Duration) error {
	start := time.Now()
	err := m.messageStore.Put(ctx, key, value, ttl)
	m.count(ctx, ops.StorePut, err, time.Since(start))
	if err == nil {
		m.metrics.Created(len(value))
	}
	return err
}

// Get implements [message.Store].
func (m measured) Get(ctx context.Context, key message.Key) ([]byte, error) {
	start := time.Now()
	value, err := m.messageStore.Get(ctx, key)
	m.count(ctx, ops.StoreGet, err, time.Since(start))
	if err == nil {
		m.metrics.Read(len(value))
	}
	return value, err
}

// count leaves out what failed because the client has gone: the store, which was
// not waited for, has not.
func (m measured) count(ctx context.Context, op ops.StoreOp, err error, took time.Duration) {
	if err != nil && ctx.Err() != nil {
		return
	}
	m.metrics.StoreCall(op, outcomeOf(err), took)
	m.watch.note(err, time.Now())
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
	case errors.Is(err, message.ErrFull):
		return ops.StoreFull
	case errors.Is(err, message.ErrUnavailable):
		return ops.StoreUnavailable
	}
	return ops.StoreFailed
}
