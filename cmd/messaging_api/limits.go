package main

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/web"
)

// budgets are what [limit.Table] and [limit.Shared] have in common.
type budgets interface {
	Take(c limit.Client, b limit.Budget, n int64, now time.Time) limit.Decision
	Peek(c limit.Client, b limit.Budget, n int64, now time.Time) limit.Decision
	Charge(c limit.Client, b limit.Budget, n int64, now time.Time) limit.Decision
}

// A limiter is package limit as package web wants it: it says which budgets a
// request spends, and tells the client about them.
type limiter struct {
	budgets budgets
	missed  func() // counts a read that found nothing
}

// Read implements [web.Limiter].
func (l limiter) Read(c web.Client, answer http.Header) *web.Denial {
	now, client := time.Now(), limit.Client(c)
	miss := l.budgets.Peek(client, limit.Miss, 1, now)
	bytes := l.budgets.Peek(client, limit.ReadBytes, 1, now)
	if !miss.Allowed || !bytes.Allowed {
		return refuse(answer, miss, bytes, l.budgets.Peek(client, limit.Read, 1, now))
	}
	read := l.budgets.Take(client, limit.Read, 1, now)
	if !read.Allowed {
		return refuse(answer, read)
	}
	limit.SetHeaders(answer, read, miss)
	return nil
}

// Missed implements [web.Limiter].
func (l limiter) Missed(c web.Client, answer http.Header) {
	l.missed()
	limit.SetHeaders(answer, l.budgets.Charge(limit.Client(c), limit.Miss, 1, time.Now()))
}

// Sent implements [web.Limiter].
func (l limiter) Sent(c web.Client, n int, answer http.Header) {
	limit.AddHeaders(answer, l.budgets.Charge(limit.Client(c), limit.ReadBytes, int64(n), time.Now()))
}

// Create implements [web.Limiter].
func (l limiter) Create(c web.Client, n int, answer http.Header) *web.Denial {
	if denial := l.Fits(c, n, answer); denial != nil {
		return denial
	}
	create := l.budgets.Take(limit.Client(c), limit.Create, 1, time.Now())
	if !create.Allowed {
		return refuse(answer, create)
	}
	limit.SetHeaders(answer, create)
	return nil
}

// Fits implements [web.Limiter].
func (l limiter) Fits(c web.Client, n int, answer http.Header) *web.Denial {
	now, client := time.Now(), limit.Client(c)
	bytes := l.budgets.Peek(client, limit.Bytes, int64(n), now)
	if bytes.Allowed {
		return nil
	}
	return refuse(answer, bytes, l.budgets.Peek(client, limit.Create, 1, now))
}

// Stored implements [web.Limiter].
func (l limiter) Stored(c web.Client, n int, answer http.Header) {
	limit.AddHeaders(answer, l.budgets.Charge(limit.Client(c), limit.Bytes, int64(n), time.Now()))
}

// refuse tells a client of the budget for which it has to wait longest, so that it
// is let through when it asks again after that time.
func refuse(answer http.Header, decisions ...limit.Decision) *web.Denial {
	longest := slices.MaxFunc(decisions, func(a, b limit.Decision) int { return cmp.Compare(a.RetryAfter, b.RetryAfter) })
	limit.SetHeaders(answer, longest)
	return &web.Denial{Budget: longest.Budget.String(), RetryAfter: longest.RetryAfter}
}
