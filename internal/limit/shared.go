package limit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Shared keeps the buckets in Redis, so that all replicas enforce one budget. It
// decides as a [Table] does. While Redis does not answer, each replica decides by
// its own Table, which has recorded what that replica granted before: an outage
// neither frees a client nor stops it.
//
// A decision is one script on one key, so it works on a Cluster. It is made by
// Redis's clock, so replicas need not agree on the time. A key exists only while
// its bucket is not full. Its name is "rl:", the budget, and 128 bits of SHA-256
// over the rate and the client. The hash keeps addresses out of sight of people
// who look at the keys; it does not hide them from someone who hashes every IPv4
// address to compare. The rate is part of the hash because a bucket whose rate
// was changed starts anew.
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

// bucketScript is Table.decide in Lua. KEYS[1] is a bucket; its value is the
// tokens that it holds and the time of that, in microseconds. ARGV are the
// operation, the tokens that it wants, the burst, and the tokens that come back
// in a microsecond. The script returns whether they were granted and the tokens
// that the bucket holds then.
//
// A bucket that is later than the clock starts anew at the time of the clock,
// because the clock was set back and the client would have to wait until it is
// there again. A millionth of a token may be missing, for rounding.
const bucketScript = `
local op, n, burst, rate = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tokens, last = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+)$')
tokens, last = tonumber(tokens) or burst, tonumber(last) or now
tokens = math.min(burst, tokens + math.max(0, now - last) * rate)
local granted = op == 'charge' or tokens + 0.000001 >= n
local spend = granted and op ~= 'peek' and n > 0
if spend then
  tokens = tokens - n
end
if spend or last > now then
  local full = math.ceil((burst - tokens) / rate / 1000) + 1
  redis.call('SET', KEYS[1], string.format('%.17g %.0f', tokens, now), 'PX', string.format('%.0f', full))
end
return {granted and '1' or '0', string.format('%.17g', tokens)}
`

// Take is Table.Take.
func (s *Shared) Take(c Client, b Budget, n int64, now time.Time) Decision {
	return s.decide(take, c, b, n, now)
}

// Peek is Table.Peek.
func (s *Shared) Peek(c Client, b Budget, n int64, now time.Time) Decision {
	return s.decide(peek, c, b, n, now)
}

// Charge is Table.Charge.
func (s *Shared) Charge(c Client, b Budget, n int64, now time.Time) Decision {
	return s.decide(charge, c, b, n, now)
}

// Fallbacks returns how many times since the start the local table decided
// instead of Redis.
func (s *Shared) Fallbacks() uint64 { return s.fallbacks.Load() }

func (s *Shared) decide(op operation, c Client, b Budget, n int64, now time.Time) Decision {
	rate := s.local.rates[b]
	if rate.Off() {
		return s.local.decide(op, c, b, n, now)
	}
	granted, tokens, ok := s.ask(op, c, b, n, now)
	if !ok {
		s.fallbacks.Add(1)
		return s.local.decide(op, c, b, n, now)
	}
	if granted && op != peek {
		s.local.record(c, b, n, now)
	}
	return rate.decision(b, n, tokens, granted)
}

// ask lets Redis decide, unless the breaker is open. It reports whether Redis did.
//
// The end of a request does not end its question: a client that hangs up would
// be taken for a Redis that does not answer, and open the breaker.
func (s *Shared) ask(op operation, c Client, b Budget, n int64, now time.Time) (granted bool, tokens float64, ok bool) {
	if !s.breaker.allow(now) {
		return false, 0, false
	}
	timeout := s.timeout
	if !s.breaker.closed() {
		timeout *= trialFactor
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	rate := s.local.rates[b]
	reply, err := s.script.Run(ctx, s.redis, []string{s.key(c, b)}, string(op), n, rate.burst, rate.perSecond()/1e6).StringSlice()
	if err == nil && len(reply) != 2 {
		err = fmt.Errorf("limit: the script returned %d values, want 2", len(reply))
	}
	if err == nil {
		tokens, err = strconv.ParseFloat(reply[1], 64)
	}
	if err != nil {
		if s.breaker.fail(now) {
			s.log.Error("shared rate limits: Redis does not answer, each replica limits by itself", "error", err)
		}
		return false, 0, false
	}
	if s.breaker.succeed() {
		s.log.Info("shared rate limits: Redis answers again")
	}
	return reply[0] == "1", tokens, true
}

// key returns the name of a client's bucket in Redis. The number in it is the
// version of the bucket's format.
func (s *Shared) key(c Client, b Budget) string {
	rate := &s.local.rates[b]
	room := make([]byte, 0, 96)
	room = append(room, '2')
	for _, n := range []int64{rate.tokens, int64(rate.per), rate.burst} {
		room = append(strconv.AppendInt(room, n, 10), ' ')
	}
	sum := sha256.Sum256(append(room, c[:]...))
	return "rl:" + b.String() + ":" + hex.EncodeToString(sum[:16])
}
