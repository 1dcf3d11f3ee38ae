package limit

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// ideal is the bucket of one client as a textbook has it: rational tokens,
// nothing shared, nothing evicted.
type ideal struct {
	rate   Rate
	tokens *big.Rat
	last   int64 // microseconds
}

func newIdeal(r Rate) *ideal {
	return &ideal{rate: r, tokens: new(big.Rat).SetInt64(r.burst)}
}

// refill returns how many tokens come back in so many microseconds.
func (i *ideal) refill(elapsed int64) *big.Rat {
	r := big.NewRat(i.rate.tokens, i.rate.per.Microseconds())
	return r.Mul(r, new(big.Rat).SetInt64(max(elapsed, 0)))
}

func (i *ideal) advance(at int64) {
	i.tokens.Add(i.tokens, i.refill(at-i.last))
	if burst := new(big.Rat).SetInt64(i.rate.burst); i.tokens.Cmp(burst) > 0 {
		i.tokens = burst
	}
	i.last = max(at, i.last)
}

func (i *ideal) has(n int64) bool { return i.tokens.Cmp(new(big.Rat).SetInt64(n)) >= 0 }

func (i *ideal) spend(n *big.Rat) { i.tokens = new(big.Rat).Sub(i.tokens, n) }

// waitFor returns in how many whole seconds there are n tokens, at least 1.
func (i *ideal) waitFor(n *big.Rat) int64 {
	missing := new(big.Rat).Sub(n, i.tokens)
	wait := missing.Quo(missing, i.refill(1_000_000))
	q, m := new(big.Int).DivMod(wait.Num(), wait.Denom(), new(big.Int))
	if m.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return max(q.Int64(), 1)
}

// decision is what a table should say of the bucket as it is, about n tokens.
func (i *ideal) decision(b Budget, n int64, allowed bool) Decision {
	whole := int64(0)
	if i.tokens.Sign() > 0 {
		whole = new(big.Int).Quo(i.tokens.Num(), i.tokens.Denom()).Int64()
	}
	d := Decision{
		Budget: b, Allowed: allowed, Quota: i.rate.burst, Window: i.rate.Window(), Remaining: whole,
		Reset: i.waitFor(new(big.Rat).SetInt64(whole + 1)),
	}
	if n > i.rate.burst {
		d.Never = !allowed
	} else if !allowed {
		d.RetryAfter = i.waitFor(new(big.Rat).SetInt64(n))
	}
	return d
}

// A schedule is random limits, clients, costs and times from one seed.
type schedule struct {
	*rand.Rand
	limits Limits
	now    time.Time
}

func newSchedule(t testing.TB, seed uint64) *schedule {
	s := &schedule{Rand: rand.New(rand.NewPCG(seed, 7)), now: noon}
	rates := []string{"off", "1/s:30", "50/s:100", "12/m:30", "7/s:3", "1/s:1", "1000003/h:77", "1/d:5", "64KiB/s:4MiB", "3MiB/m:1MiB", "999999937/s:12345"}
	pick := func() Rate { return mustByteRate(t, rates[s.IntN(len(rates))]).Rate }
	s.limits = Limits{Create: pick(), Read: pick(), Miss: pick(), Bytes: ByteRate{pick()}, Handshake: pick()}
	return s
}

// step moves the time on: mostly little, at times not at all or a lot.
func (s *schedule) step() {
	scale := []time.Duration{0, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour}[s.IntN(6)]
	s.now = s.now.Add(time.Duration(s.Float64() * 3 * float64(scale)))
}

// cost is mostly small, at times about the burst or beyond it.
func (s *schedule) cost(r Rate) int64 {
	switch s.IntN(10) {
	case 0:
		return r.burst
	case 1:
		return r.burst + 1
	case 2, 3, 4:
		return 1 + s.Int64N(max(r.burst, 1))
	}
	return 1 + s.Int64N(3)
}

// With room for all, each decision is to the last field what the textbook's
// bucket says, whatever has been charged and refunded before.
func checkExact(t *testing.T, seed uint64) {
	s := newSchedule(t, seed)
	clients := 1 + s.IntN(20)
	table := NewTable(s.limits, clients+s.IntN(3), noon)
	type key struct {
		client int
		budget Budget
	}
	type grant struct {
		d Decision
		n int64
	}
	reference := make(map[key]*ideal)
	last := make(map[key]grant)
	for i := range 300 {
		s.step()
		k := key{s.IntN(clients), Budget(s.IntN(int(budgets)))}
		r := s.limits.rates()[k.budget]
		if r.Off() {
			continue // TestOffLimitsNothing
		}
		ref := reference[k]
		if ref == nil {
			ref = newIdeal(r)
			reference[k] = ref
		}
		at := s.now.Sub(noon).Microseconds()
		n := s.cost(ref.rate)
		ref.advance(at)
		var got, want Decision
		op := s.IntN(6)
		switch op {
		case 0:
			n = 1
			got = table.Peek(client(k.client), k.budget, s.now)
			want = ref.decision(k.budget, 1, ref.has(1))
		case 1:
			got = table.Charge(client(k.client), k.budget, n, s.now)
			ref.spend(new(big.Rat).SetInt64(n))
			want = ref.decision(k.budget, n, true)
			last[k] = grant{got, n}
		case 2:
			g, ok := last[k]
			if !ok {
				continue
			}
			delete(last, k)
			n = 1 + s.Int64N(g.n)
			table.Refund(client(k.client), g.d, n, s.now)
			back := new(big.Rat).Sub(new(big.Rat).SetInt64(n), ref.refill(at-g.d.at))
			if back.Sign() > 0 {
				ref.spend(back.Neg(back))
				ref.advance(at)
			}
			got = table.Peek(client(k.client), k.budget, s.now)
			want, n = ref.decision(k.budget, 1, ref.has(1)), 1
		default:
			got = table.Take(client(k.client), k.budget, n, s.now)
			allowed := ref.has(n) && n <= ref.rate.burst
			if allowed {
				ref.spend(new(big.Rat).SetInt64(n))
				last[k] = grant{got, n}
			}
			want = ref.decision(k.budget, n, allowed)
		}
		got.taken, got.at = 0, 0
		if got != want {
			t.Fatalf("seed %d, step %d, op %d of %d at %v on %v (%v):\n got %+v\nwant %+v", seed, i, op, n, s.now.Sub(noon), k, ref.rate, got, want)
		}
		if d := got; !d.Allowed && !d.Never {
			if d.RetryAfter < d.Reset { // the draft's section 6
				t.Errorf("seed %d: Retry-After is before the end of the window: %+v", seed, d)
			}
			checkObeyed(t, ref, n, d.RetryAfter)
		}
	}
	if st := table.Stats(); st.Overflows != 0 || st.Clients > clients {
		t.Errorf("seed %d: %+v for %d clients", seed, st, clients)
	}
}

// checkObeyed checks that waiting as long as a client is told to is enough, and
// not longer than it must be in whole seconds.
func checkObeyed(t *testing.T, ref *ideal, n, retryAfter int64) {
	t.Helper()
	then := &ideal{ref.rate, new(big.Rat).Set(ref.tokens), ref.last}
	then.advance(ref.last + (retryAfter-1)*1_000_000)
	if then.has(n) && retryAfter > 1 {
		t.Errorf("Retry-After of %d is too long", retryAfter)
	}
	then.advance(ref.last + retryAfter*1_000_000)
	if !then.has(n) {
		t.Errorf("Retry-After of %d, obeyed, is not enough", retryAfter)
	}
}

// With too little room, clients come and go, share the overflow bucket and come
// back; clocks of concurrent requests disagree. Still nobody gets more than a
// bucket of his own would have given him by the time that the table had for him,
// which never runs ahead, and there are never too many entries.
func checkBounded(t *testing.T, seed uint64) {
	s := newSchedule(t, seed)
	size := 1 + s.IntN(12)
	if s.IntN(8) == 0 {
		size = 512 + s.IntN(200) // more than one shard
	}
	clients := size/2 + 1 + s.IntN(2*size)
	table := NewTable(s.limits, size, noon)
	type grant struct {
		client int
		d      Decision
		n      int64
	}
	var ledger []grant // what has been granted, in order, less what was refunded
	latest := int64(0)
	for range 400 + 4*clients {
		s.step()
		now := s.now.Add(-time.Duration(s.IntN(2)*s.IntN(1_000_000)) * time.Nanosecond)
		latest = max(latest, now.Sub(noon).Microseconds())
		c, b := s.IntN(clients), Budget(s.IntN(int(budgets)))
		switch s.IntN(8) {
		case 0:
			table.Peek(client(c), b, now)
		case 1, 2:
			if len(ledger) == 0 {
				continue
			}
			g := &ledger[max(0, len(ledger)-1-s.IntN(10))]
			if g.d.taken == 0 {
				continue // a decision is refunded once
			}
			n := min(g.n, 1+s.Int64N(max(g.n, 1)))
			table.Refund(client(g.client), g.d, n, now)
			g.n -= n
			g.d.taken = 0
		default:
			n := s.cost(s.limits.rates()[b])
			if d := table.Take(client(c), b, n, now); d.Allowed && d.Quota > 0 {
				if d.at > latest {
					t.Fatalf("seed %d: the clock is at %d, before anyone said so at %d", seed, d.at, latest)
				}
				ledger = append(ledger, grant{c, d, n})
			}
		}
		if st := table.Stats(); st.Clients > size {
			t.Fatalf("seed %d: %d entries, want at most %d", seed, st.Clients, size)
		}
	}
	reference := make(map[[2]int]*ideal)
	for i, g := range ledger {
		k := [2]int{g.client, int(g.d.Budget)}
		ref := reference[k]
		if ref == nil {
			ref = newIdeal(s.limits.rates()[g.d.Budget])
			reference[k] = ref
		}
		ref.advance(g.d.at)
		if !ref.has(g.n) {
			t.Fatalf("seed %d, table of %d, %d clients: grant %d of %d tokens to client %d is more than its own bucket (%v) has: %v",
				seed, size, clients, i, g.n, g.client, ref.rate, ref.tokens.FloatString(3))
		}
		ref.spend(new(big.Rat).SetInt64(g.n))
	}
}

func TestModel(t *testing.T) {
	for seed := range uint64(400) {
		checkExact(t, seed)
		checkBounded(t, seed)
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(func(t *testing.T, seed uint64) {
		checkExact(t, seed)
		checkBounded(t, seed)
	})
}
