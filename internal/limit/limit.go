// Package limit decides how much one client may do: who is one client
// ([Resolver]), what each may still spend ([Table], or [Shared] where replicas
// keep one budget in Redis), how an answer says so ([SetHeaders]), and whose
// connections are let in at all ([Listener]).
//
// Nothing a client sends makes any of it grow: memory is fixed when the parts
// are built, and the work for a decision is bounded. Nothing here knows routes,
// messages or stores.
package limit

// A Budget is one kind of thing that a client spends. Each has a bucket of its
// own: whoever has no creates left can still read.
type Budget uint8

// The budgets of one client.
const (
	Create    Budget = iota // requests that create a message
	Read                    // requests that read one
	Miss                    // reads that found nothing: guessing is what it stops
	Bytes                   // bytes of the messages created
	Handshake               // connections accepted, each of which may cost a TLS handshake
	budgets                 // their number
)

// String returns the name of the budget as clients see it in the policy fields.
func (b Budget) String() string {
	return [...]string{"create", "read", "miss", "bytes", "handshake"}[b]
}

// Limits are the rates of all budgets; those left zero are off.
type Limits struct {
	Create, Read, Miss Rate
	Bytes              ByteRate
	Handshake          Rate
}

// rates returns the limits in the order of the budgets.
func (l Limits) rates() [budgets]Rate {
	return [...]Rate{Create: l.Create, Read: l.Read, Miss: l.Miss, Bytes: l.Bytes.Rate, Handshake: l.Handshake}
}

// A Decision is the answer to one request for tokens, and what its client may
// be told. The zero Quota means that the budget is off: there is nothing to tell.
type Decision struct {
	Budget  Budget
	Allowed bool
	// Never: the cost is larger than the burst, so no waiting makes it
	// possible. RetryAfter is then 0, and promising a time would be a lie.
	Never bool

	Quota      int64 // tokens in a full bucket
	Window     int64 // seconds in which an empty bucket fills, rounded up
	Remaining  int64 // whole tokens left
	Reset      int64 // seconds until one more is left, rounded up, at least 1
	RetryAfter int64 // seconds after which the same cost would be granted, rounded up; 0 when it was

	// What Refund needs: how much was taken, whether from Redis, and when, in
	// microseconds by the clock of who granted it.
	taken int64
	redis bool
	at    int64
}
