package web

import (
	"net/http"
	"strconv"
)

// A Client is what the Limiter counts as one: an address cut to a prefix.
type Client [16]byte

// MessageOverhead is how many bytes a stored message counts besides its text: its
// key, its envelope and what the store needs to find it.
const MessageOverhead = 512

// A Limiter holds each client to its budgets. Each method also says in the
// answer's header how much the client has left. A Limiter is safe for
// concurrent use and blocks no longer than a store would.
type Limiter interface {
	// Read takes one read, unless the client has missed too often or is still
	// paying for the bytes that it read.
	Read(c Client, answer http.Header) *Denial
	// Missed charges a read that found nothing.
	Missed(c Client, answer http.Header)
	// Sent charges n bytes of a message that is about to be sent.
	Sent(c Client, n int, answer http.Header)
	// Create takes one creation, if a message that counts n bytes could be stored.
	// It is not given back if nothing is created: at the usual rates it is there
	// again before the client should retry.
	Create(c Client, n int, answer http.Header) *Denial
	// Fits says whether a message that counts n bytes could be stored, and takes
	// nothing: a store that does not answer must not cost a client the bytes of
	// hours.
	Fits(c Client, n int, answer http.Header) *Denial
	// Stored charges n bytes of a message that was stored.
	Stored(c Client, n int, answer http.Header)
}

// A Denial is why a client has to wait. A nil one lets it go on.
type Denial struct {
	Budget     string // which budget is spent, in the words of the policy fields
	RetryAfter int64  // seconds after which the same request would be let through
}

// tooMany is the refusal that tells a client of a denial.
func (x *Exchange) tooMany(d *Denial) error {
	x.limit, x.charged = d.Budget, false
	return errTooMany.with("Retry-After", strconv.FormatInt(d.RetryAfter, 10))
}

// errTooMany has to cost less than the request that it refuses.
var errTooMany = constant(http.StatusTooManyRequests,
	"Too much of this from your address; the budget is in RateLimit-Policy, the time to wait in Retry-After.")
