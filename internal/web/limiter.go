package web

import (
	"net/http"
	"strconv"
)

// A Client is what the Limiter counts as one: an address cut to a prefix.
type Client [16]byte

// MessageOverhead is the bytes that a stored message counts in addition to its text:
// its key, its seal and its place in the store.
const MessageOverhead = 512

// A Limiter charges each client's budgets. Each method also writes into the answer's
// header what the client has left. A Limiter is safe for concurrent use and blocks
// no longer than a store.
type Limiter interface {
	// Read takes one read, unless the client has missed too often or has a debt of
	// bytes that it read.
	Read(c Client, answer http.Header) *Denial
	// Missed charges a read that found nothing.
	Missed(c Client, answer http.Header)
	// Sent charges n bytes of a message that is about to be sent.
	Sent(c Client, n int, answer http.Header)
	// Guess judges whether the client may show a token, and takes nothing. It may not
	// if it has missed too often.
	Guess(c Client, answer http.Header) *Denial
	// Create takes one creation, if a message that counts n bytes could be stored.
	// The token of this name pays for it, if there is one that has a budget. It is not
	// given back if nothing is created.
	Create(c Client, token string, n int, answer http.Header) *Denial
	// Fits judges whether a message that counts n bytes could be stored, and takes
	// nothing: an outage of the store must not cost a client its bytes.
	Fits(c Client, token string, n int, answer http.Header) *Denial
	// Stored charges n bytes of a message that was stored.
	Stored(c Client, n int, answer http.Header)
}

// A Denial says why a client has to wait. Nil: it need not.
type Denial struct {
	Budget     string // that is spent, in the words of the policy fields
	RetryAfter int64  // seconds after which the same request succeeds
}

// tooMany returns the refusal for a denial.
func (x *Exchange) tooMany(d *Denial) error {
	x.limit, x.charged = d.Budget, false
	return errTooMany.with("Retry-After", strconv.FormatInt(d.RetryAfter, 10))
}

// errTooMany has to cost less than the request that it refuses.
var errTooMany = constant(http.StatusTooManyRequests,
	"Too much of this from you; the budget is in RateLimit-Policy, the time to wait in Retry-After.").
	forPeople("Your address has sent too many requests. Wait a minute, then load this page again. Nothing was used up.")
