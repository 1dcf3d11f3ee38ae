package limit

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// buckets are those of one client. A bucket is made when the client first spends
// from it; nil is a full one.
type buckets [budgets]*rate.Limiter

// tokens returns how many tokens a bucket holds. A debt is negative.
func (bs *buckets) tokens(b Budget, r Rate, now time.Time) float64 {
	if bs[b] == nil {
		return float64(r.burst)
	}
	return bs[b].TokensAt(now)
}

// charge takes n tokens in any case. A reservation is a burst at most, so more
// are several.
func (bs *buckets) charge(b Budget, r Rate, n int64, now time.Time) {
	if bs[b] == nil {
		bs[b] = rate.NewLimiter(rate.Limit(r.perSecond()), int(r.burst))
	}
	for ; n > 0; n -= r.burst {
		bs[b].ReserveN(now, int(min(n, r.burst)))
	}
}

// full reports whether the buckets equal those of an unknown client.
func (bs *buckets) full(now time.Time) bool {
	for _, l := range bs {
		if l != nil && l.TokensAt(now) < float64(l.Burst()) {
			return false
		}
	}
	return true
}

// A shard is the part of a Table that is under one lock.
//
// A client for which there is no room shares buckets: an IPv6 client those of
// its /48, if that network has a quarter of the shard already, and everyone else
// the overflow buckets. A client that is tracked later starts at the level of
// the buckets that it shared before, because it may have drained them.
type shard struct {
	limits     *Limits
	maxClients int

	mu        sync.Mutex // guards what follows
	latest    time.Time  // the latest time that was seen
	clients   map[Client]*buckets
	networks  map[Client]int // tracked clients of each IPv6 /48
	overflow  buckets
	overflows uint64
}

// clock returns now, or the latest time if that is later. A bucket whose time
// runs backwards would get the time in between twice.
func (sh *shard) clock(now time.Time) time.Time {
	if now.After(sh.latest) {
		sh.latest = now
	}
	return sh.latest
}

// find returns the buckets that a client has now: its own, or else those that
// it shares.
func (sh *shard) find(c Client) *buckets {
	if own := sh.clients[c]; own != nil {
		return own
	}
	if network, ok := c.network(); ok && sh.clients[network] != nil {
		return sh.clients[network]
	}
	return &sh.overflow
}

// enter returns the buckets that have to pay for a client, and whether they are
// shared. It tracks the client if there is room.
func (sh *shard) enter(c Client, now time.Time) (bs *buckets, shared bool) {
	if own := sh.track(c, now); own != nil {
		return own, false
	}
	sh.overflows++
	if network, ok := c.network(); ok && sh.crowded(network) && sh.clients[network] == nil {
		sh.add(network, now)
	}
	return sh.find(c), true
}

// track returns the client's own buckets. It is nil if there is no room for them.
func (sh *shard) track(c Client, now time.Time) *buckets {
	if own := sh.clients[c]; own != nil {
		return own
	}
	network, ok := c.network()
	if ok && sh.crowded(network) || !sh.add(c, now) {
		return nil
	}
	if ok {
		sh.networks[network]++
	}
	return sh.clients[c]
}

// crowded reports whether a network has its share of the shard.
func (sh *shard) crowded(network Client) bool {
	return sh.networks[network] >= max(sh.maxClients/4, 1)
}

// add makes buckets for a client or a network. It reports false if there is no
// room.
func (sh *shard) add(c Client, now time.Time) bool {
	if len(sh.clients) >= sh.maxClients && !sh.evict(now) {
		return false
	}
	shared, own := sh.find(c), new(buckets)
	for b, l := range shared {
		if l == nil {
			continue
		}
		if used := math.Ceil(float64(l.Burst()) - l.TokensAt(now)); used > 0 {
			own.charge(Budget(b), sh.limits[b], int64(used), now)
		}
	}
	sh.clients[c] = own
	return true
}

// maxLook is how many clients evict looks at, so that its work is bounded.
const maxLook = 16

// evict forgets a client that has all its buckets full. It looks at a few
// clients at random, as the order of a map is, and reports whether it found one.
func (sh *shard) evict(now time.Time) bool {
	looked := 0
	for c, bs := range sh.clients {
		if bs.full(now) {
			delete(sh.clients, c)
			if network, ok := c.network(); ok && c != network {
				if sh.networks[network]--; sh.networks[network] == 0 {
					delete(sh.networks, network)
				}
			}
			return true
		}
		if looked++; looked == maxLook {
			break
		}
	}
	return false
}
