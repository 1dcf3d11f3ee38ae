package main

import (
	"context"
	"net/http"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/web"
)

// budgets are what limit.Local and limit.Shared have in common.
type budgets interface {
	Take(ctx context.Context, c limit.Client, b limit.Budget, n int64, now time.Time) limit.Decision
	Peek(ctx context.Context, c limit.Client, b limit.Budget, now time.Time) limit.Decision
	Charge(ctx context.Context, c limit.Client, b limit.Budget, n int64, now time.Time) limit.Decision
	Refund(ctx context.Context, c limit.Client, d limit.Decision, n int64, now time.Time)
}

// A limiter is package limit as package web wants it: it says which budgets a
// request takes from, and tells the client about them.
type limiter struct {
	budgets budgets
	missed  func() // counts a read that found nothing
}

// Read implements [web.Limiter].
func (l limiter) Read(ctx context.Context, c web.Client, answer http.Header) *web.Denial {
	now := time.Now()
	miss := l.budgets.Peek(ctx, limit.Client(c), limit.Miss, now)
	if !miss.Allowed {
		limit.SetHeaders(answer, miss)
		return denial(miss)
	}
	read := l.budgets.Take(ctx, limit.Client(c), limit.Read, 1, now)
	limit.SetHeaders(answer, read, miss)
	return denial(read)
}

// Missed implements [web.Limiter].
func (l limiter) Missed(ctx context.Context, c web.Client, answer http.Header) {
	l.missed()
	limit.SetHeaders(answer, l.budgets.Charge(ctx, limit.Client(c), limit.Miss, 1, time.Now()))
}

// Create implements [web.Limiter].
func (l limiter) Create(ctx context.Context, c web.Client, answer http.Header) (web.Creation, *web.Denial) {
	create := l.budgets.Take(ctx, limit.Client(c), limit.Create, 1, time.Now())
	limit.SetHeaders(answer, create)
	if !create.Allowed {
		return nil, denial(create)
	}
	return &creation{limiter: l, client: limit.Client(c), answer: answer, create: create}, nil
}

// A creation is what one request to create has taken.
type creation struct {
	limiter
	client limit.Client
	answer http.Header
	create limit.Decision
	bytes  limit.Decision // zero until Size was granted
	size   int64
}

// Size implements [web.Creation].
func (c *creation) Size(ctx context.Context, n int) *web.Denial {
	bytes := c.budgets.Take(ctx, c.client, limit.Bytes, int64(n), time.Now())
	limit.SetHeaders(c.answer, c.create, bytes)
	if bytes.Allowed {
		c.bytes, c.size = bytes, int64(n)
	}
	return denial(bytes)
}

// Undo implements [web.Creation]. A client that has gone away gets back what it
// did not use all the same.
func (c *creation) Undo(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	now := time.Now()
	c.budgets.Refund(ctx, c.client, c.create, 1, now)
	if c.size > 0 {
		c.budgets.Refund(ctx, c.client, c.bytes, c.size, now)
	}
}

// denial is nil for what is allowed. A cost over the burst does not get here:
// the configuration sees to it that the largest message fits.
func denial(d limit.Decision) *web.Denial {
	if d.Allowed {
		return nil
	}
	return &web.Denial{Budget: d.Budget.String(), RetryAfter: d.RetryAfter}
}
