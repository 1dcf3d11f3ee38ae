// Package limit decides how much one client may do: what counts as one client
// ([Resolver]), what each client may still spend ([Table], or [Shared] where
// replicas keep one budget in Redis), what an answer says about it
// ([SetHeaders]), and which connections are let in ([Listener]).
//
// Memory is bounded, and so is the work for a decision, for any traffic.
// Nothing here knows routes, messages or stores.
package limit

// A Budget is one kind of thing that a client spends. Each has its own bucket:
// a client that has no creations left can still read.
type Budget uint8

// The budgets of one client.
const (
	Create      Budget = iota // requests that create a message
	TokenCreate               // the same, of a [TokenClient]
	Read                      // requests that read a message
	Miss                      // reads that found nothing; this budget stops guessing
	Bytes                     // bytes of the messages that were stored
	ReadBytes                 // bytes of the messages that were sent
	Handshake                 // connections accepted, each of which may cost a TLS handshake
	budgets                   // the number of budgets
)

// String returns the name of the budget as clients see it in the policy fields.
func (b Budget) String() string {
	return [...]string{"create", "token-create", "read", "miss", "bytes", "read-bytes", "handshake"}[b]
}

// Limits are the rates of all budgets. A zero rate is off.
//
// Nothing is ever given back to a bucket: golang.org/x/time/rate documents no
// way to return tokens after the fact, and at the usual rates a token is back
// before a client should try again. A budget that refills slowly is peeked at
// before the work and charged after it, as Bytes is.
type Limits [budgets]Rate

// A Decision says whether a budget has the tokens that a request wants, and what
// its client may be told. A zero Quota means that the budget is off.
type Decision struct {
	Budget  Budget
	Allowed bool

	Quota      int64 // tokens in a full bucket
	Window     int64 // seconds in which an empty bucket fills, rounded up
	Remaining  int64 // whole tokens left
	Reset      int64 // seconds until one more is left, rounded up, at least 1
	RetryAfter int64 // seconds until the same cost is granted, rounded up; 0 if it was granted
}

// A Cost is what a request wants of one budget.
type Cost struct {
	Budget Budget
	N      int64 // tokens, not more than the burst
	Peek   bool  // they have to be there, and are not taken
}
