package limit

import (
	"hash/maphash"
	"slices"
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
	limits Limits
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
	t := &Table{limits: limits, seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range t.shards {
		sh := &t.shards[i]
		sh.limits, sh.maxClients = &t.limits, max(clients/n, 1)
		sh.clients, sh.networks = make(map[Client]*buckets), make(map[Client]int)
	}
	return t
}

// Take takes the tokens of all costs if they are all there, and otherwise none.
// It returns a decision about each cost.
func (t *Table) Take(c Client, now time.Time, costs ...Cost) []Decision {
	sh, now := t.lock(c, now)
	defer sh.mu.Unlock()
	own := sh.find(c)
	if slices.ContainsFunc(costs, t.spends) {
		own, _ = sh.enter(c, now)
	}
	decisions := make([]Decision, len(costs))
	for i, cost := range costs {
		r := t.limits[cost.Budget]
		decisions[i] = r.decide(cost, own.tokens(cost.Budget, r, now))
	}
	if !allowed(decisions) {
		return decisions
	}
	for i, cost := range costs {
		if t.spends(cost) {
			r := t.limits[cost.Budget]
			own.charge(cost.Budget, r, cost.N, now)
			decisions[i] = r.decision(cost.Budget, own.tokens(cost.Budget, r, now))
		}
	}
	return decisions
}

// spends reports whether a cost takes tokens.
func (t *Table) spends(cost Cost) bool { return !cost.Peek && !t.limits[cost.Budget].Off() }

func allowed(decisions []Decision) bool {
	return !slices.ContainsFunc(decisions, func(d Decision) bool { return !d.Allowed })
}

// Charge takes n tokens in any case, for what has happened already. What is
// missing becomes a debt: the client gets no token before it is paid off. So
// when many requests pass a Take that peeks, each of them is paid in the end. A
// shared bucket makes no debts, because other clients would have to pay them.
// Allowed is always true.
func (t *Table) Charge(c Client, b Budget, n int64, now time.Time) Decision {
	r := t.limits[b]
	if r.Off() {
		return r.decision(b, 0)
	}
	sh, now := t.lock(c, now)
	defer sh.mu.Unlock()
	own, shared := sh.enter(c, now)
	if shared {
		n = min(n, int64(own.tokens(b, r, now)))
	}
	own.charge(b, r, n, now)
	return r.decision(b, own.tokens(b, r, now))
}

// record charges what Redis has granted to the client's own bucket. It charges
// no shared bucket: while Redis answers, those limit no client.
func (t *Table) record(c Client, cost Cost, now time.Time) {
	if !t.spends(cost) {
		return
	}
	sh, now := t.lock(c, now)
	defer sh.mu.Unlock()
	if own := sh.track(c, now); own != nil {
		own.charge(cost.Budget, t.limits[cost.Budget], cost.N, now)
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

// lock locks the shard of a client, and returns its time.
func (t *Table) lock(c Client, now time.Time) (*shard, time.Time) {
	sh := &t.shards[maphash.Bytes(t.seed, c[:])%uint64(len(t.shards))]
	sh.mu.Lock()
	return sh, sh.clock(now)
}
