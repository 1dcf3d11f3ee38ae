package limit

import (
	"hash/maphash"
	"time"
)

// A Table holds the buckets of a bounded number of clients in memory. It is safe
// for concurrent use. Time is an argument of its methods.
//
// A client is forgotten only when all its buckets are full, which loses nothing,
// because the buckets of an unknown client are full too. When there is no room
// for a client, it shares buckets with others (see [shard]). So no client ever
// gets more than its burst and what came back since, however many others come
// and go.
type Table struct {
	rates  [budgets]Rate
	seed   maphash.Seed // secret, or an attacker could fill one shard
	shards []shard
}

const (
	maxShards = 64
	// minShard is the least size of a shard. Chance alone would fill some of many
	// small shards long before the table is full.
	minShard = 256
)

// NewTable returns a Table that tracks about so many clients at most, and at
// least one. Memory grows with the clients that it tracks: about 200 bytes for a
// client that uses one budget, 500 for one that uses all.
func NewTable(limits Limits, clients int) *Table {
	n := min(max(clients/minShard, 1), maxShards)
	t := &Table{rates: limits.rates(), seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range t.shards {
		t.shards[i] = newShard(&t.rates, max(clients/n, 1))
	}
	return t
}

// Take takes n tokens if they are there. n must not exceed the burst.
func (t *Table) Take(c Client, b Budget, n int64, now time.Time) Decision {
	return t.decide(take, c, b, n, now)
}

// Peek says whether n tokens are there, and takes nothing. n must not exceed the
// burst.
func (t *Table) Peek(c Client, b Budget, n int64, now time.Time) Decision {
	return t.decide(peek, c, b, n, now)
}

// Charge takes n tokens in any case, for what has happened already. What is
// missing becomes a debt: the client gets no token before it is paid off. So
// when many requests pass a Peek at once, each of them is paid in the end. A
// shared bucket makes no debts, because strangers would have to pay them.
// Allowed is always true.
func (t *Table) Charge(c Client, b Budget, n int64, now time.Time) Decision {
	return t.decide(charge, c, b, n, now)
}

func (t *Table) decide(op operation, c Client, b Budget, n int64, now time.Time) Decision {
	rate := t.rates[b]
	if rate.Off() {
		return Decision{Budget: b, Allowed: true}
	}
	sh := t.shard(c)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now = sh.clock(now)
	if op == peek {
		tokens := sh.find(c).tokens(b, rate, now)
		return rate.decision(b, n, tokens, rate.wait(float64(n)-tokens) <= 0)
	}
	own, shared := sh.enter(c, now)
	allowed := true
	switch {
	case op == take:
		allowed = own.limiter(b, rate).AllowN(now, int(n))
	case shared:
		own.charge(b, rate, min(n, int64(own.tokens(b, rate, now))), now)
	default:
		own.charge(b, rate, n, now)
	}
	return rate.decision(b, n, own.tokens(b, rate, now), allowed)
}

// record charges what Redis has granted to the client's own bucket. It charges
// no shared bucket: while Redis answers, nobody is limited by those.
func (t *Table) record(c Client, b Budget, n int64, now time.Time) {
	sh := t.shard(c)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now = sh.clock(now)
	if own := sh.track(c, now); own != nil {
		own.charge(b, t.rates[b], n, now)
	}
}

// Stats are what a Table tells its operator.
type Stats struct {
	Clients   int    // tracked now
	Overflows uint64 // requests since the start for which a shared bucket had to pay
}

// Stats returns the table's state. It locks each shard in turn.
func (t *Table) Stats() Stats {
	var st Stats
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		st.Clients += len(sh.clients)
		st.Overflows += sh.overflows
		sh.mu.Unlock()
	}
	return st
}

func (t *Table) shard(c Client) *shard {
	return &t.shards[maphash.Bytes(t.seed, c[:])%uint64(len(t.shards))]
}
