package limit

import (
	"math/rand/v2"
	"testing"
	"time"
)

// ideal is the bucket of one client that shares nothing and is never forgotten.
type ideal struct {
	rate   Rate
	tokens float64
	last   time.Time
}

func (i *ideal) advance(now time.Time) {
	if now.After(i.last) {
		i.tokens = min(i.tokens+now.Sub(i.last).Seconds()*i.rate.perSecond(), float64(i.rate.burst))
		i.last = now
	}
}

// A schedule is random limits, clients, costs and times from one seed.
type schedule struct {
	*rand.Rand
	limits Limits
	now    time.Time // of the latest request
	ideals map[Client]*[budgets]ideal
}

func newSchedule(t testing.TB, seed uint64) *schedule {
	s := &schedule{Rand: rand.New(rand.NewPCG(seed, 7)), now: noon, ideals: make(map[Client]*[budgets]ideal)}
	rates := []string{"1/s:30", "50/s:100", "12/m:30", "7/s:3", "1/s:1", "1000003/h:77", "1/d:5", "64KiB/s:4MiB", "3MiB/m:1MiB", "999999937/s:12345"}
	pick := func() Rate { return mustRate(t, rates[s.IntN(len(rates))]) }
	s.limits = Limits{
		Create: pick(), TokenCreate: pick(), Read: pick(), Miss: pick(), Bytes: pick(), ReadBytes: pick(), Handshake: pick(),
	}
	return s
}

// step advances the time: mostly a little, at times not at all or a lot. It returns
// the time of one of several concurrent requests.
func (s *schedule) step() time.Time {
	unit := []time.Duration{0, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour}[s.IntN(6)]
	s.now = s.now.Add(time.Duration(s.Float64() * 3 * float64(unit)))
	return s.now.Add(-time.Duration(s.IntN(2)*s.IntN(1_000_000)) * time.Nanosecond)
}

// cost is mostly small, at times about the burst.
func (s *schedule) cost(r Rate) int64 {
	switch s.IntN(10) {
	case 0:
		return r.burst
	case 1, 2, 3, 4:
		return 1 + s.Int64N(r.burst)
	}
	return min(r.burst, 1+s.Int64N(3))
}

// ideal returns the ideal bucket of a client at the time that the table has for a
// request: its clock never runs back.
func (s *schedule) ideal(table *Table, c Client, b Budget, now time.Time) *ideal {
	all := s.ideals[c]
	if all == nil {
		all = new([budgets]ideal)
		for b, r := range s.limits {
			all[b] = ideal{r, float64(r.burst), noon}
		}
		s.ideals[c] = all
	}
	all[b].advance(tableTime(table, c, now))
	return &all[b]
}

func tableTime(table *Table, c Client, now time.Time) time.Time {
	sh, now := table.lock(c, now)
	sh.mu.Unlock()
	return now
}

// check holds a table of this size to the ideal buckets of so many clients:
// after any sequence, no client gets more than burst + rate × time, within one
// token. With room for all, no client gets less, and a client that waits as told is served.
func check(t *testing.T, seed uint64, size, clients int, pick func(n int) Client) {
	s := newSchedule(t, seed)
	table := NewTable(s.limits, size)
	for i := range 400 + 4*clients {
		now, c, b := s.step(), pick(s.IntN(clients)), Budget(s.IntN(int(budgets)))
		ideal := s.ideal(table, c, b, now)
		n := s.cost(ideal.rate)
		var d Decision
		switch s.IntN(8) {
		case 0:
			d = peek(table, c, b, n, now)
		case 1:
			table.Charge(c, b, n, now)
			ideal.tokens -= float64(n)
			if clients > size { // a shared bucket makes no debts
				ideal.tokens = max(ideal.tokens, 0)
			}
			continue
		default:
			d = take(table, c, b, n, now)
			if d.Allowed {
				ideal.tokens -= float64(n)
			}
			if d.Allowed && ideal.tokens < -1-1e-3 {
				t.Fatalf("seed %d, step %d, table of %d, %d clients: %d tokens for %v are more than its own bucket (%v) has: it is at %v",
					seed, i, size, clients, n, c, ideal.rate, ideal.tokens)
			}
		}
		if d.Allowed || clients > size/4 {
			continue
		}
		if ideal.tokens >= float64(n)+1 {
			t.Fatalf("seed %d, step %d: %d tokens refused, and there are %v of %v", seed, i, n, ideal.tokens, ideal.rate)
		}
		s.now = s.now.Add(time.Duration(d.RetryAfter) * time.Second)
		if again := take(table, c, b, n, s.now); !again.Allowed {
			t.Fatalf("seed %d, step %d: %d tokens of %v: refused after Retry-After %d: %+v", seed, i, n, ideal.rate, d.RetryAfter, again)
		}
		s.ideal(table, c, b, s.now).tokens -= float64(n)
	}
	if st := table.Stats(); st.Clients > size || clients <= size/4 && st.Overflows > 0 {
		t.Errorf("seed %d: %+v in a table of %d with %d clients", seed, st, size, clients)
	}
}

func checkAll(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 8))
	check(t, seed, 100, 1+rnd.IntN(25), client) // room for all
	size := 1 + rnd.IntN(12)
	if rnd.IntN(8) == 0 {
		size = 512 + rnd.IntN(200) // more than one shard
	}
	check(t, seed, size, size+1+rnd.IntN(2*size), client)
	check(t, seed, size, size+1+rnd.IntN(2*size), func(n int) Client { // some of one network
		if n%2 == 0 {
			return neighbour(uint16(n))
		}
		return client(n)
	})
}

func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		checkAll(t, seed)
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(checkAll)
}
