package web

import (
	"context"
	"net/http"
)

// A Client is who is limited, as the Limiter sees it.
type Client [16]byte

// A Limiter holds each client to its budgets. What takes from a budget also
// sets, on the answer's header, the fields that say where the client stands. It
// is safe for concurrent use and does not block for longer than a store would.
type Limiter interface {
	// Read takes one read, unless the client has missed too often.
	Read(ctx context.Context, c Client, answer http.Header) *Denial
	// Missed charges a read that found nothing.
	Missed(ctx context.Context, c Client, answer http.Header)
	// Create takes one creation. What it returns takes the rest.
	Create(ctx context.Context, c Client, answer http.Header) (Creation, *Denial)
}

// A Creation is what a request to create has taken from the budgets so far.
type Creation interface {
	// Size takes n bytes, at most Limits.MaxBytes.
	Size(ctx context.Context, n int) *Denial
	// Undo gives everything back: nothing was created.
	Undo(ctx context.Context)
}

// A Denial is why a client has to wait. A nil one lets it go on.
type Denial struct {
	Budget     string // which budget is spent, in the words of the policy fields
	RetryAfter int64  // seconds after which the same request would be let through
}

// tooMany is the refusal by which a client learns of a denial.
func (x *Exchange) tooMany(d *Denial) error {
	x.limit = d.Budget
	e := errTooMany
	e.header = retryAfter(d.RetryAfter)
	return e
}

// errTooMany is what has to cost less than what it refuses.
var errTooMany = constant(http.StatusTooManyRequests,
	"Too much of this from your address; the budget is in RateLimit-Policy, the time to wait in Retry-After.")
