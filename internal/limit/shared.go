package limit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Shared keeps the buckets in Redis, so that all replicas enforce one budget.
// While Redis does not answer, each replica decides by its own Table, which has
// seen what that replica granted before: an outage neither frees a client nor
// stops one.
//
// A decision is one script on one key, so it works on a Cluster, and it is made
// by Redis's clock, so replicas need not agree on the time. A key is there only
// while its bucket is not full. Its name is "rl:", the budget, and 128 bits of
// SHA-256 over the rate and the client. The hash keeps addresses out of sight of
// whoever looks at the keys; it does not hide them from someone who hashes
// every IPv4 address to compare. That the rate is in it gives a bucket whose rate
// was changed a new name, since its old content would be counted in other units.
//
// The Redis user needs "+eval +evalsha +get +set +time" and "~rl:*", and nothing
// else.
type Shared struct {
	redis     redis.Scripter
	script    *redis.Script
	local     *Table
	log       *slog.Logger
	timeout   time.Duration
	breaker   breaker
	fallbacks atomic.Uint64
}

// sharedTimeout is how long a decision waits for Redis.
const sharedTimeout = 50 * time.Millisecond

// NewShared returns a Shared with the limits of local, its Table for when Redis
// does not answer. The client's ContextTimeoutEnabled must be set: without it,
// go-redis waits for its own, longer timeouts. If it retries, a charge whose
// reply was lost may count twice. Only that Redis stopped or began again to
// answer is logged.
func NewShared(client redis.Scripter, local *Table, log *slog.Logger) *Shared {
	return &Shared{redis: client, script: redis.NewScript(bucketScript), local: local, log: log, timeout: sharedTimeout}
}

// bucketScript is scale.after and Table.Take in Lua. KEYS[1] is a bucket, its
// value what of it is used and when that was so, in microseconds. ARGV are the cost
// (negative: a refund, 0: only looking), the units of a full bucket, the units
// that come back each microsecond, 1 for a charge that may make debts, and the
// time of the charge that is refunded. It returns whether the cost was granted,
// what is used then, and the time.
//
// Lua's numbers are exact to 2^53, more than there are microseconds since 1970 or
// units in any usual bucket; those larger are rounded by less than a millionth
// of a token. Where the clock was set back, the bucket begins anew at the new
// time, or its client would wait for the old one. TIME before a write is allowed
// since scripts are replicated by their effects (Redis 5).
const bucketScript = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, full, refill = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local force, charged = ARGV[4] == '1', tonumber(ARGV[5])
if cost < 0 then
  cost = math.min(0, cost + math.max(0, now - charged) * refill)
end
local used, last = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
used, last = tonumber(used or 0), tonumber(last or now)
used = math.max(0, used - math.max(0, now - last) * refill)
local granted = force or cost <= 0 or used + cost <= full
if granted then
  used = math.min(math.max(0, used + cost), 4611686018427387904)
end
if granted and cost ~= 0 or last > now then
  local value = string.format('%.0f %.0f', used, now)
  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.ceil(used / refill / 1000) + 1))
end
return {granted and 1 or 0, used, now}
`

// Take takes n tokens if they are there, and tells of either outcome.
func (s *Shared) Take(ctx context.Context, c Client, b Budget, n int64, now time.Time) Decision {
	scale := &s.local.scales[b]
	if scale.off() || !scale.fits(n) {
		return s.local.Take(c, b, n, now)
	}
	d, ok := s.charge(ctx, c, b, n, false, now)
	if !ok {
		return s.local.Take(c, b, n, now)
	}
	return d
}

// Peek tells whether one token is there, and takes nothing.
func (s *Shared) Peek(ctx context.Context, c Client, b Budget, now time.Time) Decision {
	scale := &s.local.scales[b]
	if scale.off() {
		return s.local.Peek(c, b, now)
	}
	r, ok := s.run(ctx, c, b, now, 0, false, 0)
	if !ok {
		return s.local.Peek(c, b, now)
	}
	return scale.decide(b, r.used, 1, r.used+scale.cost(1) <= scale.full)
}

// Charge takes n tokens whether they are there or not, as Table.Charge does.
func (s *Shared) Charge(ctx context.Context, c Client, b Budget, n int64, now time.Time) Decision {
	if s.local.scales[b].off() {
		return s.local.Charge(c, b, n, now)
	}
	d, ok := s.charge(ctx, c, b, n, true, now)
	if !ok {
		return s.local.Charge(c, b, n, now)
	}
	return d
}

// Refund gives back n of the tokens that a decision took to whoever granted
// them, as Table.Refund does. If Redis does not answer, it is lost: the client
// is the poorer for it, but never the richer.
func (s *Shared) Refund(ctx context.Context, c Client, d Decision, n int64, now time.Time) {
	if !d.redis {
		s.local.Refund(c, d, n, now)
		return
	}
	cost := s.local.scales[d.Budget].cost(min(n, d.taken))
	s.run(ctx, c, d.Budget, now, -cost, false, d.at)
}

// charge takes n tokens in Redis, and lets the local table know what was granted.
func (s *Shared) charge(ctx context.Context, c Client, b Budget, n int64, force bool, now time.Time) (Decision, bool) {
	scale := &s.local.scales[b]
	r, ok := s.run(ctx, c, b, now, scale.cost(n), force, 0)
	if !ok {
		return Decision{}, false
	}
	d := scale.decide(b, r.used, n, r.granted)
	if r.granted {
		s.local.note(c, b, n, now)
		d.taken, d.redis, d.at = n, true, r.now
	}
	return d, true
}

// Fallbacks returns how many times the local table was asked instead of Redis.
func (s *Shared) Fallbacks() uint64 { return s.fallbacks.Load() }

// A reply is what the script returns.
type reply struct {
	granted bool
	used    int64 // units
	now     int64 // microseconds, by Redis's clock
}

// run runs the script, unless the breaker is open. Where ok is false there is no
// reply, and the local table has to decide.
func (s *Shared) run(ctx context.Context, c Client, b Budget, now time.Time, cost int64, force bool, charged int64) (r reply, ok bool) {
	clock := now.Sub(s.local.epoch)
	if !s.breaker.allow(clock) {
		s.fallbacks.Add(1)
		return reply{}, false
	}
	// The request's end must not end this early: a client that hangs up would
	// else be taken for a Redis that does not answer, and open the breaker.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	scale := &s.local.scales[b]
	values, err := s.script.Run(ctx, s.redis, []string{s.key(c, b)}, cost, scale.full, scale.refill, force, charged).Int64Slice()
	if err == nil && len(values) != 3 {
		err = fmt.Errorf("limit: the script returned %d values, want 3", len(values))
	}
	if err != nil {
		s.fallbacks.Add(1)
		if s.breaker.fail(clock) {
			s.log.Error("shared rate limits: Redis does not answer, each replica limits by itself", "error", err)
		}
		return reply{}, false
	}
	if s.breaker.succeed() {
		s.log.Info("shared rate limits: Redis answers again")
	}
	return reply{values[0] == 1, values[1], values[2]}, true
}

// key returns the name of a client's bucket in Redis.
func (s *Shared) key(c Client, b Budget) string {
	var room [64]byte
	sum := sha256.Sum256(append(append(room[:0], s.local.rates[b].String()...), c[:]...))
	return "rl:" + b.String() + ":" + hex.EncodeToString(sum[:16])
}
