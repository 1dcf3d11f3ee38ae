package limit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Shared keeps the buckets in Redis, so that all replicas enforce one budget. It
// decides as a [Table] does. While Redis does not answer, each replica decides by
// its own Table, which has recorded what that replica granted before: an outage
// neither frees a client nor stops it.
//
// A decision is one script, by Redis's clock, so replicas need not agree on the
// time. A key exists only while its bucket is not full. Its name is "rl:", the
// budget, the rate, and in braces 128 bits of the client's SHA-256: a Cluster keeps
// all buckets of a client in one slot. The hash keeps addresses out of sight; it
// does not hide them from an attacker who hashes every IPv4 address. After a change of
// the rate a bucket starts anew.
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

// trialFactor is how much longer an attempt to close the breaker waits. It needs a
// new connection, with several round trips before the script's.
const trialFactor = 5

// NewShared returns a Shared that asks client, and local while Redis does not
// answer. The client's ContextTimeoutEnabled must be set: without it, go-redis
// waits for its own, longer timeouts. If go-redis retries, a charge whose reply
// was lost may count twice. Only that Redis stops or starts to answer is logged.
func NewShared(client redis.Scripter, local *Table, log *slog.Logger) *Shared {
	return &Shared{redis: client, script: redis.NewScript(bucketScript), local: local, log: log, timeout: sharedTimeout}
}

// bucketScript is Table.Take and Table.Charge in Lua. Each of KEYS is a bucket;
// its value is the tokens that it holds and the time of that, in microseconds.
// Each has four of ARGV: the operation (peek, take or charge), the tokens that it
// wants, the burst, and the tokens that come back in a microsecond. For each the
// script returns whether they are there and the tokens that the bucket holds then.
//
// A bucket that is later than the clock starts anew at the time of the clock,
// because the clock was set back and the client would have to wait until it is
// there again. A millionth of a token may be missing, for rounding.
const bucketScript = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local buckets, all = {}, true
for i, key in ipairs(KEYS) do
  local b = {op = ARGV[4*i-3], n = tonumber(ARGV[4*i-2]), burst = tonumber(ARGV[4*i-1]), rate = tonumber(ARGV[4*i])}
  local tokens, last = string.match(redis.call('GET', key) or '', '^(%S+) (%S+)$')
  tokens, last = tonumber(tokens) or b.burst, tonumber(last) or now
  b.tokens = math.min(b.burst, tokens + math.max(0, now - last) * b.rate)
  b.ahead = last > now
  b.granted = b.op == 'charge' or b.tokens + 0.000001 >= b.n
  all = all and b.granted
  buckets[i] = b
end
local reply = {}
for i, b in ipairs(buckets) do
  local spend = all and b.op ~= 'peek'
  if spend then
    b.tokens = b.tokens - b.n
  end
  if spend or b.ahead then
    local full = math.ceil((b.burst - b.tokens) / b.rate / 1000) + 1
    redis.call('SET', KEYS[i], string.format('%.17g %.0f', b.tokens, now), 'PX', string.format('%.0f', full))
  end
  reply[2*i-1] = b.granted and '1' or '0'
  reply[2*i] = string.format('%.17g', b.tokens)
end
return reply
`

// Take is [Table.Take], in one round trip.
func (s *Shared) Take(c Client, now time.Time, costs ...Cost) []Decision {
	levels, ok := s.ask(c, now, false, costs)
	if !ok {
		return s.local.Take(c, now, costs...)
	}
	decisions := make([]Decision, len(costs))
	for i, cost := range costs {
		r, left := s.local.limits[cost.Budget], levels[i].left
		decisions[i] = r.decision(cost.Budget, left)
		if !levels[i].granted {
			decisions[i].Allowed, decisions[i].RetryAfter = false, r.seconds(float64(cost.N)-left)
		}
	}
	if allowed(decisions) {
		for _, cost := range costs {
			s.local.record(c, cost, now)
		}
	}
	return decisions
}

// Charge is [Table.Charge].
func (s *Shared) Charge(c Client, b Budget, n int64, now time.Time) Decision {
	cost := Cost{Budget: b, N: n}
	levels, ok := s.ask(c, now, true, []Cost{cost})
	if !ok {
		return s.local.Charge(c, b, n, now)
	}
	s.local.record(c, cost, now)
	return s.local.limits[b].decision(b, levels[0].left)
}

// Fallbacks returns how many times since the start the local table decided
// instead of Redis.
func (s *Shared) Fallbacks() uint64 { return s.fallbacks.Load() }

// A level is what Redis says of one bucket.
type level struct {
	granted bool
	left    float64 // tokens
}

// ask lets Redis decide, or charge, unless the breaker is open, and returns a level
// for each cost. It reports whether Redis did.
//
// The end of a request does not end its question: a client that hangs up would
// be taken for a Redis that does not answer, and open the breaker.
func (s *Shared) ask(c Client, now time.Time, charge bool, costs []Cost) ([]level, bool) {
	levels := make([]level, len(costs))
	var asked []*level
	var keys []string
	var args []any
	for i, cost := range costs {
		r := s.local.limits[cost.Budget]
		if r.Off() {
			levels[i].granted = true
			continue
		}
		op := "take"
		if charge {
			op = "charge"
		} else if cost.Peek {
			op = "peek"
		}
		asked, keys = append(asked, &levels[i]), append(keys, r.key(c, cost.Budget))
		args = append(args, op, cost.N, r.burst, r.perSecond()/1e6)
	}
	if len(keys) == 0 {
		return levels, true
	}
	ok, trial := s.breaker.allow(now)
	if !ok {
		s.fallbacks.Add(1)
		return nil, false
	}
	timeout := s.timeout
	if trial {
		timeout *= trialFactor
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	reply, err := s.script.Run(ctx, s.redis, keys, args...).StringSlice()
	if err == nil {
		err = readLevels(reply, asked)
	}
	switch changed := s.breaker.report(now, err == nil); {
	case changed && err == nil:
		s.log.Info("shared rate limits: Redis answers again")
	case changed:
		s.log.Error("shared rate limits: Redis does not answer, each replica limits by itself", "error", err)
	}
	if err != nil {
		s.fallbacks.Add(1)
	}
	return levels, err == nil
}

// readLevels reads what the script returned.
func readLevels(reply []string, levels []*level) (err error) {
	if len(reply) != 2*len(levels) {
		return fmt.Errorf("limit: the script returned %d values, want %d", len(reply), 2*len(levels))
	}
	for i := 0; i < len(levels) && err == nil; i++ {
		levels[i].granted = reply[2*i] == "1"
		levels[i].left, err = strconv.ParseFloat(reply[2*i+1], 64)
	}
	return err
}

// key returns the name of a client's bucket in Redis.
func (r Rate) key(c Client, b Budget) string {
	sum := sha256.Sum256(c[:])
	return fmt.Sprintf("rl:%v:%g/s:%d:{%x}", b, r.perSecond(), r.burst, sum[:16])
}

// A breaker keeps each decision from waiting for a server that does not answer.
// After a failure it is open: no decision asks Redis for a while, then one at a
// time tries again, until one succeeds.
type breaker struct {
	mu    sync.Mutex // guards what follows
	retry time.Time  // when the next one may try; zero: the breaker is closed
}

// breakerPause is how long the breaker stays open after a failure: few decisions
// wait for the timeout, and the shared budget is back soon after the server.
const breakerPause = 500 * time.Millisecond

// allow reports whether the caller may try, and whether that is a trial of an
// open breaker. The caller has to report how it went.
func (b *breaker) allow(now time.Time) (ok, trial bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retry.IsZero() {
		return true, false
	}
	if now.Before(b.retry) {
		return false, false
	}
	b.retry = now.Add(breakerPause) // the others wait for this attempt
	return true, true
}

// report closes the breaker after a success and opens it after a failure. It
// reports whether that changed it.
func (b *breaker) report(now time.Time, success bool) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasClosed := b.retry.IsZero()
	b.retry = time.Time{}
	if !success {
		b.retry = now.Add(breakerPause)
	}
	return success != wasClosed
}
