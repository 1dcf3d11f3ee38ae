package limit

import (
	"hash/maphash"
	"math/bits"
	"time"
)

// A Table holds the buckets of a bounded number of clients, and is safe for
// concurrent use. Time is an argument of its methods; what counts is whole
// microseconds since the epoch the table was made with, and a time before one
// that it has seen already refills nothing.
//
// A client is forgotten only when its buckets are full, which loses nothing,
// since the bucket of an unknown client is full too. Where the table is full and
// none is found to forget, newcomers share one overflow bucket, and whoever
// gets a place later begins with what is left in it: it may be he who emptied
// it. So no client ever gets more than its burst and what came back since,
// however many others come and go.
type Table struct {
	epoch  time.Time
	scales [budgets]scale
	rates  [budgets]Rate
	seed   maphash.Seed // secret, or an attacker could aim at one shard
	shift  int          // of the hash, to the number of the shard
	shards []shard
}

const (
	maxShards = 64
	// minShard keeps the shards of a small table from being so small that
	// chance alone fills some of them long before the table is full.
	minShard = 256
)

// NewTable returns a Table that tracks at most so many clients (fewer than one
// counts as one), in 72 bytes each, reserved at once. The operating system backs them
// with memory as they are used.
func NewTable(limits Limits, clients int, epoch time.Time) *Table {
	clients = max(clients, 1)
	n := min(maxShards, 1<<(bits.Len(uint(max(clients/minShard, 1)))-1))
	t := &Table{
		epoch:  epoch,
		rates:  limits.rates(),
		seed:   maphash.MakeSeed(),
		shift:  64 - bits.Len(uint(n-1)),
		shards: make([]shard, n),
	}
	for b, r := range t.rates {
		t.scales[b] = newScale(r)
	}
	for i := range t.shards {
		share := clients / n
		if i < clients%n {
			share++
		}
		t.shards[i].init(share)
	}
	return t
}

// Take takes n tokens if they are there, and tells of either outcome.
func (t *Table) Take(c Client, b Budget, n int64, now time.Time) Decision {
	s := &t.scales[b]
	if s.off() {
		return Decision{Budget: b, Allowed: true}
	}
	if !s.fits(n) {
		return t.view(c, b, n, now)
	}
	at, cost := t.since(now), s.cost(n)
	sh, hash := t.shard(c)
	sh.mu.Lock()
	e := sh.enter(t, c, hash, at)
	allowed := e.used[b]+cost <= s.full
	if allowed {
		e.used[b] += cost
	}
	used, last := e.used[b], e.last
	sh.mu.Unlock()
	d := s.decide(b, used, n, allowed)
	if allowed {
		d.taken, d.at = n, last
	}
	return d
}

// Peek tells whether one token is there, and takes nothing.
func (t *Table) Peek(c Client, b Budget, now time.Time) Decision {
	if t.scales[b].off() {
		return Decision{Budget: b, Allowed: true}
	}
	return t.view(c, b, 1, now)
}

// Charge takes n tokens whether they are there or not, for what has happened
// already. What is missing is a debt that the client pays off before it is
// granted another token: so of those who all passed a Peek at once, in the end
// each has paid. The overflow bucket alone makes no debts: it would be
// strangers who had to pay them. Allowed is always true.
func (t *Table) Charge(c Client, b Budget, n int64, now time.Time) Decision {
	s := &t.scales[b]
	if s.off() {
		return Decision{Budget: b, Allowed: true}
	}
	at, cost := t.since(now), s.cost(n)
	sh, hash := t.shard(c)
	sh.mu.Lock()
	e := sh.enter(t, c, hash, at)
	limit := int64(maxUsed)
	if e == &sh.overflow {
		limit = s.full
	}
	e.used[b] = max(e.used[b], min(e.used[b]+cost, limit))
	used, last := e.used[b], e.last
	sh.mu.Unlock()
	d := s.decide(b, used, n, true)
	d.taken, d.at = n, last
	return d
}

// Refund gives back n of the tokens, all or some, that a decision took, except
// for what would have come back since anyway: afterwards the client has no less
// than it had before that decision. A decision is refunded once.
func (t *Table) Refund(c Client, d Decision, n int64, now time.Time) {
	if d.taken == 0 {
		return
	}
	at := t.since(now)
	sh, hash := t.shard(c)
	sh.mu.Lock()
	// The client may have been given a place, or have been forgotten, since
	// then. In the first case its place began with the charge in it; in the
	// second the charge has refilled, and there is nothing to refund. The age of
	// the charge is by the bucket's time: a request whose own is older would make
	// it younger than it is.
	e := sh.current(t, c, hash, at)
	units := t.scales[d.Budget].refund(min(n, d.taken), e.last-d.at)
	e.used[d.Budget] = max(e.used[d.Budget]-units, 0)
	sh.mu.Unlock()
}

// note charges what Redis has granted to the client's own bucket, if it has a
// place or there is one, and never to the overflow bucket: while Redis answers,
// nobody is limited by that.
func (t *Table) note(c Client, b Budget, n int64, now time.Time) {
	at, cost := t.since(now), t.scales[b].cost(n)
	sh, hash := t.shard(c)
	sh.mu.Lock()
	if e := sh.track(t, c, hash, at); e != nil {
		e.used[b] = min(e.used[b]+cost, maxUsed)
	}
	sh.mu.Unlock()
}

// view tells whether n tokens are there, without taking them or a place.
func (t *Table) view(c Client, b Budget, n int64, now time.Time) Decision {
	s, at := &t.scales[b], t.since(now)
	sh, hash := t.shard(c)
	sh.mu.Lock()
	used := sh.current(t, c, hash, at).used[b]
	sh.mu.Unlock()
	return s.decide(b, used, n, s.fits(n) && used+s.cost(n) <= s.full)
}

// Stats are what a Table tells its operator.
type Stats struct {
	Clients    int    // tracked now
	MaxClients int    // tracked at most
	Overflows  uint64 // charges to an overflow bucket since the start
}

// Stats returns the table's state. It visits each shard, and is meant to be
// called now and then.
func (t *Table) Stats() Stats {
	var st Stats
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		st.Clients += sh.tracked
		st.MaxClients += len(sh.entries)
		st.Overflows += sh.overflows
		sh.mu.Unlock()
	}
	return st
}

// since returns the time on the table's clock, in microseconds. Sub uses the
// monotonic clock, so a step of the wall clock refills nothing.
func (t *Table) since(now time.Time) int64 { return now.Sub(t.epoch).Microseconds() }

// shard returns the shard of a client, and the hash by which it finds it.
func (t *Table) shard(c Client) (*shard, uint64) {
	hash := t.hash(c)
	return &t.shards[hash>>t.shift], hash
}

func (t *Table) hash(c Client) uint64 { return maphash.Bytes(t.seed, c[:]) }
