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
	Take(c limit.Client, now time.Time, costs ...limit.Cost) []limit.Decision
	Charge(c limit.Client, b limit.Budget, n int64, now time.Time) limit.Decision
}

// A limiter implements [web.Limiter] with package limit. It decides which budgets a request
// spends, and writes them into the answer's header.
type limiter struct {
	budgets budgets
	missed  func() // counts a read that found nothing
	tokens  bool   // each token has a budget of creations
}

// Read implements [web.Limiter].
func (l limiter) Read(c web.Client, answer http.Header) *web.Denial {
	decisions := l.budgets.Take(limit.Client(c), time.Now(),
		limit.Cost{Budget: limit.Read, N: 1},
		limit.Cost{Budget: limit.Miss, N: 1, Peek: true},
		limit.Cost{Budget: limit.ReadBytes, N: 1, Peek: true})
	return judge(answer, decisions, 2)
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

// Guess implements [web.Limiter].
func (l limiter) Guess(c web.Client, answer http.Header) *web.Denial {
	decisions := l.budgets.Take(limit.Client(c), time.Now(), limit.Cost{Budget: limit.Miss, N: 1, Peek: true})
	return judge(answer, decisions, 0)
}

// Create implements [web.Limiter].
func (l limiter) Create(c web.Client, token string, n int, answer http.Header) *web.Denial {
	return judge(answer, l.creation(c, token, n, false), 1)
}

// Fits implements [web.Limiter].
func (l limiter) Fits(c web.Client, token string, n int, answer http.Header) *web.Denial {
	decisions := l.creation(c, token, n, true)
	if decisions[1].Allowed {
		return nil
	}
	return judge(answer, decisions, 0)
}

// creation asks for one creation, of the token if that has a budget, and for n bytes of
// the client, which it only peeks at. If peek, it takes nothing.
func (l limiter) creation(c web.Client, token string, n int, peek bool) []limit.Decision {
	now := time.Now()
	room := limit.Cost{Budget: limit.Bytes, N: int64(n), Peek: true}
	if token == "" || !l.tokens {
		return l.budgets.Take(limit.Client(c), now, limit.Cost{Budget: limit.Create, N: 1, Peek: peek}, room)
	}
	bytes := l.budgets.Take(limit.Client(c), now, room)[0]
	peek = peek || !bytes.Allowed // a refused creation costs nothing
	creation := l.budgets.Take(limit.TokenClient(token), now, limit.Cost{Budget: limit.TokenCreate, N: 1, Peek: peek})[0]
	return []limit.Decision{creation, bytes}
}

// Stored implements [web.Limiter].
func (l limiter) Stored(c web.Client, n int, answer http.Header) {
	limit.AddHeaders(answer, l.budgets.Charge(limit.Client(c), limit.Bytes, int64(n), time.Now()))
}

// judge writes the first shown budgets into the answer's header. If a budget is spent, it
// reports the one with the longest wait instead, so that a retry after that time succeeds.
func judge(answer http.Header, decisions []limit.Decision, shown int) *web.Denial {
	longest := slices.MaxFunc(decisions, func(a, b limit.Decision) int { return cmp.Compare(a.RetryAfter, b.RetryAfter) })
	if longest.Allowed {
		limit.SetHeaders(answer, decisions[:shown]...)
		return nil
	}
	limit.SetHeaders(answer, longest)
	return &web.Denial{Budget: longest.Budget.String(), RetryAfter: longest.RetryAfter}
}
