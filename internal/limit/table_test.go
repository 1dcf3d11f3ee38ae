package limit

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/time/rate"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.UTC)

// defaults are the limits that the service has when nobody sets any.
func defaults(t testing.TB) Limits {
	return Limits{
		Create:    mustRate(t, "1/s:30"),
		Read:      mustRate(t, "50/s:100"),
		Miss:      mustRate(t, "12/m:30"),
		Bytes:     mustByteRate(t, "64KiB/s:4MiB"),
		Handshake: mustRate(t, "20/s:60"),
	}
}

// client returns one of many distinct clients.
func client(n int) (c Client) {
	copy(c[:], []byte{0x20, 0x01, 0x0d, 0xb8})
	binary.BigEndian.PutUint32(c[4:], uint32(n))
	return c
}

func TestTakeUntilRefusedAndObey(t *testing.T) {
	for _, test := range []struct {
		budget     Budget
		n          int64
		times      int
		last       Decision
		refused    Decision
		takenAgain int64
	}{
		{Create, 1, 30,
			Decision{Allowed: true, Quota: 30, Window: 30, Remaining: 0, Reset: 1},
			Decision{Quota: 30, Window: 30, Remaining: 0, Reset: 1, RetryAfter: 1}, 0},
		{Read, 1, 100,
			Decision{Allowed: true, Quota: 100, Window: 2, Remaining: 0, Reset: 1},
			Decision{Quota: 100, Window: 2, Remaining: 0, Reset: 1, RetryAfter: 1}, 49},
		{Miss, 1, 30,
			Decision{Allowed: true, Quota: 30, Window: 150, Remaining: 0, Reset: 5},
			Decision{Quota: 30, Window: 150, Remaining: 0, Reset: 5, RetryAfter: 5}, 0},
		{Bytes, 256 << 10, 16,
			Decision{Allowed: true, Quota: 4 << 20, Window: 64, Remaining: 0, Reset: 1},
			Decision{Quota: 4 << 20, Window: 64, Remaining: 0, Reset: 1, RetryAfter: 4}, 0},
		{Handshake, 1, 60,
			Decision{Allowed: true, Quota: 60, Window: 3, Remaining: 0, Reset: 1},
			Decision{Quota: 60, Window: 3, Remaining: 0, Reset: 1, RetryAfter: 1}, 19},
	} {
		table := NewTable(defaults(t), 1, noon)
		test.last.Budget, test.refused.Budget = test.budget, test.budget
		test.last.taken = test.n
		for i := 1; i < test.times; i++ {
			if d := table.Take(client(1), test.budget, test.n, noon); !d.Allowed {
				t.Fatalf("%v: refused the %d. time: %+v", test.budget, i, d)
			}
		}
		if got := table.Take(client(1), test.budget, test.n, noon); got != test.last {
			t.Errorf("%v: the last one: got %+v, want %+v", test.budget, got, test.last)
		}
		got := table.Take(client(1), test.budget, test.n, noon)
		if got != test.refused {
			t.Errorf("%v: one too many: got %+v, want %+v", test.budget, got, test.refused)
		}
		later := noon.Add(time.Duration(got.RetryAfter) * time.Second)
		if d := table.Take(client(1), test.budget, test.n, later.Add(-time.Second)); d.Allowed {
			t.Errorf("%v: granted a second before Retry-After is over: %+v", test.budget, d)
		}
		if d := table.Take(client(1), test.budget, test.n, later); !d.Allowed || d.Remaining != test.takenAgain {
			t.Errorf("%v: after Retry-After: got %+v, want it allowed with %d left", test.budget, d, test.takenAgain)
		}
	}
}

// A token is there from the first microsecond on that begins after it came back,
// not one earlier or later.
func TestTokensComeBackToTheMicrosecond(t *testing.T) {
	for text, wait := range map[string]time.Duration{
		"1/s:30": time.Second, "50/s:100": 20_000_000, "12/m:30": 5 * time.Second, "7/s:30": 142_858_000, "1/d:1": 24 * time.Hour,
		"65536/s:4194304": 16_000, "999/h:3": 3_603_604_000, "1000000/s:1": 1000, "3000000/s:1": 1000,
	} {
		r := mustRate(t, text)
		table := NewTable(Limits{Create: r}, 1, noon)
		table.Take(client(1), Create, r.burst, noon)
		if d := table.Take(client(1), Create, 1, noon.Add(wait-1)); d.Allowed {
			t.Errorf("%s: granted before %v: %+v", text, wait, d)
		}
		if d := table.Take(client(1), Create, 1, noon.Add(wait)); !d.Allowed {
			t.Errorf("%s: refused after %v: %+v", text, wait, d)
		}
	}
}

func TestBudgetsAndClientsAreTheirOwn(t *testing.T) {
	table := NewTable(defaults(t), 100, noon)
	for table.Take(client(1), Create, 1, noon).Allowed {
	}
	for b := range budgets {
		if d := table.Peek(client(1), b, noon); d.Allowed != (b != Create) {
			t.Errorf("creates spent: %v allowed %v", b, d.Allowed)
		}
		if d := table.Peek(client(2), b, noon); !d.Allowed || d.Remaining != d.Quota {
			t.Errorf("another client's %v: %+v, want a full bucket", b, d)
		}
	}
}

func TestOffLimitsNothing(t *testing.T) {
	table := NewTable(Limits{}, 1, noon)
	for b := range budgets {
		want := Decision{Budget: b, Allowed: true}
		d := table.Take(client(1), b, math.MaxInt64, noon)
		if d != want || table.Peek(client(1), b, noon) != want || table.Charge(client(1), b, 1, noon) != want {
			t.Errorf("%v: got %+v, want %+v", b, d, want)
		}
		table.Refund(client(1), d, 1, noon)
	}
	if n := table.Stats().Clients; n != 0 {
		t.Errorf("%d clients are tracked though nothing is limited", n)
	}
}

// No waiting makes a cost possible that is larger than the bucket; to promise
// that it did would send the client into a loop.
func TestCostOverTheBurstIsNeverGranted(t *testing.T) {
	table := NewTable(defaults(t), 1, noon)
	for _, n := range []int64{4<<20 + 1, math.MaxInt64} {
		d := table.Take(client(1), Bytes, n, noon)
		if d.Allowed || !d.Never || d.RetryAfter != 0 || d.Remaining != 4<<20 {
			t.Errorf("%d bytes: got %+v", n, d)
		}
	}
	if d := table.Take(client(1), Bytes, 4<<20, noon); !d.Allowed || d.Never {
		t.Errorf("as many bytes as the burst: got %+v", d)
	}
}

func TestPeekTakesNothing(t *testing.T) {
	table := NewTable(defaults(t), 1, noon)
	for range 100 {
		if d := table.Peek(client(1), Miss, noon); !d.Allowed || d.Remaining != 30 {
			t.Fatalf("Peek: got %+v, want all 30", d)
		}
	}
	if n := table.Stats().Clients; n != 0 {
		t.Errorf("Peek made an entry: %d clients", n)
	}
	d := table.Peek(client(1), Miss, noon)
	table.Refund(client(1), d, 1, noon)
	table.Charge(client(1), Miss, 30, noon)
	if d := table.Peek(client(1), Miss, noon); d.Allowed || d.RetryAfter != 5 {
		t.Errorf("Peek at an empty bucket: got %+v", d)
	}
}

// All who pass a Peek at once are charged, and pay before the next one passes.
func TestChargeMakesDebts(t *testing.T) {
	table := NewTable(defaults(t), 1, noon)
	for range 40 {
		table.Charge(client(1), Miss, 1, noon)
	}
	d := table.Peek(client(1), Miss, noon)
	if d.Allowed || d.Remaining != 0 || d.RetryAfter != 55 || d.Reset != 55 { // 10 owed and 1 to have, 5 s each
		t.Errorf("after 40 of 30: got %+v, want 55 seconds", d)
	}
	if d := table.Peek(client(1), Miss, noon.Add(54999*time.Millisecond)); d.Allowed {
		t.Errorf("before the debt is paid: got %+v", d)
	}
	if d := table.Peek(client(1), Miss, noon.Add(55*time.Second)); !d.Allowed || d.Remaining != 1 {
		t.Errorf("after the debt is paid: got %+v", d)
	}
	if d := table.Charge(client(1), Miss, math.MaxInt64, noon.Add(time.Hour)); !d.Allowed || d.Reset < 1 {
		t.Errorf("the largest charge: got %+v", d)
	}
}

func TestRefund(t *testing.T) {
	table := NewTable(defaults(t), 1, noon)
	c := client(1)
	for range 20 {
		table.Take(c, Create, 1, noon)
	}
	left := func(b Budget, now time.Time) int64 { return table.Peek(c, b, now).Remaining }

	d := table.Take(c, Create, 1, noon)
	table.Refund(c, d, 1, noon)
	if got := left(Create, noon); got != 10 {
		t.Errorf("refunded at once: %d left, want 10", got)
	}
	// Half a second later half a token has come back by itself.
	d = table.Take(c, Create, 1, noon)
	now := noon.Add(500 * time.Millisecond)
	table.Refund(c, d, 1, now)
	if got := left(Create, now); got != 10 {
		t.Errorf("refunded after 0.5 s: %d left, want 10", got)
	}
	if got := left(Create, now.Add(499*time.Millisecond)); got != 10 {
		t.Errorf("refunded after 0.5 s, and 0.499 s later: %d left, want 10", got)
	}
	d = table.Take(c, Create, 5, now)
	table.Refund(c, d, 99, now) // more than it took
	if got := left(Create, now); got != 10 {
		t.Errorf("refunded more than was taken: %d left, want 10", got)
	}
	d = table.Take(c, Bytes, 1000, now)
	table.Refund(c, d, 400, now)
	if got := left(Bytes, now); got != 4<<20-600 {
		t.Errorf("400 of 1000 bytes refunded: %d left, want %d", got, 4<<20-600)
	}
	for table.Take(c, Create, 1, now).Allowed {
	}
	table.Refund(c, table.Take(c, Create, 1, now), 1, now)
	if got := left(Create, now); got != 0 {
		t.Errorf("a refusal refunded: %d left, want 0", got)
	}
}

// Whoever holds requests open until their tokens have come back, and lets them
// fail then, has no second burst.
func TestRefundGrantsNoSecondBurst(t *testing.T) {
	table := NewTable(defaults(t), 1, noon)
	c := client(1)
	var held []Decision
	for range 30 {
		held = append(held, table.Take(c, Create, 1, noon))
	}
	now := noon.Add(30 * time.Second)
	granted := 0
	for table.Take(c, Create, 1, now).Allowed {
		granted++
	}
	for i, d := range held {
		// Not even if the one who gives it back is late for his turn.
		table.Refund(c, d, 1, now.Add(-time.Duration(i+1)*time.Second))
	}
	for table.Take(c, Create, 1, now).Allowed {
		granted++
	}
	if granted != 30 {
		t.Errorf("%d creates at once, want the burst of 30", granted)
	}
}

func TestTimeThatRunsBackGrantsNothing(t *testing.T) {
	table := NewTable(defaults(t), 1, noon)
	now, granted := noon.Add(time.Hour), 0
	for i := range 10_000 {
		if table.Take(client(1), Create, 1, now.Add(-time.Duration(i%2)*time.Minute)).Allowed {
			granted++
		}
	}
	if granted != 30 {
		t.Errorf("granted %d with a clock that jumps, want 30", granted)
	}
}

// The overflow bucket is one for all who have no place, and whoever gets a
// place continues where it stands.
func TestOverflow(t *testing.T) {
	limits := Limits{Create: mustRate(t, "1/s:10")}
	table := NewTable(limits, 2, noon)
	for n := 1; n <= 2; n++ {
		table.Take(client(n), Create, 10, noon)
	}
	granted := 0
	for n := 3; n < 100; n++ {
		if table.Take(client(n), Create, 1, noon).Allowed {
			granted++
		}
	}
	if st := table.Stats(); granted != 10 || st != (Stats{Clients: 2, MaxClients: 2, Overflows: 97}) {
		t.Errorf("97 newcomers to a full table were granted %d, want 10 together; %+v", granted, st)
	}
	// Client 3 has had a token of the overflow's ten. Five seconds later the
	// table is still full, ten seconds later it has room and all is refilled.
	now := noon.Add(5 * time.Second)
	if d := table.Take(client(3), Create, 5, now); !d.Allowed || d.Remaining != 0 {
		t.Errorf("after 5 s: got %+v, want the five tokens that the overflow bucket has again", d)
	}
	now = noon.Add(10 * time.Second)
	if d := table.Take(client(3), Create, 1, now); !d.Allowed || d.Remaining != 4 || table.Stats().Overflows != 98 {
		t.Errorf("with a place of its own: got %+v, want the four left of five", d)
	}
	// Nobody pays for the debts of strangers.
	now = noon.Add(time.Hour)
	for n := 1; n <= 2; n++ {
		table.Take(client(n), Create, 10, now)
	}
	for n := 3; n < 100; n++ {
		table.Charge(client(n), Create, 1, now)
	}
	if d := table.Peek(client(200), Create, now); d.Allowed || d.RetryAfter != 1 {
		t.Errorf("after 97 charges to the overflow bucket: got %+v, want no debt", d)
	}
}

// A request that is late for its turn may find the overflow bucket at a later
// time than its own; the time between must not refill its new place again.
func TestLatecomerBeginsWhereTheOverflowBucketIs(t *testing.T) {
	table := NewTable(Limits{Create: mustRate(t, "1/s:10")}, maxLook+1, noon)
	for n := range maxLook {
		table.Take(client(n), Create, 10, noon)
	}
	table.Take(client(maxLook), Create, 1, noon)
	c, now := client(99), noon.Add(5*time.Second)
	if d := table.Take(c, Create, 10, now); !d.Allowed || table.Stats().Overflows != 1 {
		t.Fatalf("got %+v, want all of the overflow bucket", d)
	}
	if d := table.Take(c, Create, 1, noon.Add(3*time.Second)); d.Allowed || table.Stats().Overflows != 1 {
		t.Fatalf("late: got %+v, want a place without tokens", d)
	}
	if d := table.Take(c, Create, 1, now); d.Allowed {
		t.Errorf("got %+v, want nothing: no time has passed since it took all", d)
	}
}

// Evict only what has refilled, in every budget.
func TestEvictionTakesOnlyFullBuckets(t *testing.T) {
	for b := range budgets {
		table := NewTable(defaults(t), 1, noon)
		table.Take(client(1), b, 1, noon)
		token := time.Duration(table.scales[b].token) * time.Microsecond / time.Duration(table.scales[b].refill)
		table.Take(client(2), b, 1, noon.Add(token-time.Microsecond))
		if st := table.Stats(); st.Overflows != 1 {
			t.Errorf("%v: a moment before the bucket is full: %+v, want its client to stay", b, st)
		}
		table.Take(client(3), b, 1, noon.Add(token+time.Microsecond))
		if st := table.Stats(); st.Overflows != 1 || st.Clients != 1 {
			t.Errorf("%v: once the bucket is full: %+v, want its client to be forgotten", b, st)
		}
	}
}

// A million clients come, and an honest one that was there before keeps its
// bucket to the token. Memory does not grow with them.
func TestMillionClients(t *testing.T) {
	const clients = 262_144
	before := liveHeap()
	table := NewTable(defaults(t), clients, noon)
	honest := client(1 << 30)
	for range 15 {
		table.Take(honest, Create, 1, noon)
	}
	now := noon
	for n := range 1_000_000 {
		now = now.Add(2 * time.Microsecond) // two seconds in all
		table.Take(client(n), Create, 1, now)
		table.Charge(client(n), Miss, 1, now)
	}
	grown := liveHeap() - before
	if got := table.Peek(honest, Create, now); got.Remaining != 17 {
		t.Errorf("after a million clients: %+v, want 15 left of 30, and two more for two seconds", got)
	}
	st := table.Stats()
	if st.Clients > clients || st.Clients < clients*99/100 || st.MaxClients != clients {
		t.Errorf("%+v, want just about %d clients", st, clients)
	}
	t.Logf("%+v; the heap has grown by %d bytes, %d for each of %d clients", st, grown, grown/clients, clients)
	if grown > 250*clients {
		t.Errorf("the heap has grown by %d bytes for each client, want at most 250", grown/clients)
	}
	runtime.KeepAlive(table)
}

// liveHeap returns the live bytes.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestEntryIsACacheLine(t *testing.T) {
	if size := unsafe.Sizeof(entry{}); size != 64 {
		t.Errorf("an entry has %d bytes, want 64", size)
	}
}

func TestTableHasAsManyPlacesAsAskedFor(t *testing.T) {
	for _, clients := range []int{-1, 0, 1, 2, 255, 256, 511, 512, 1000, 16_384, 50_003} {
		table := NewTable(defaults(t), clients, noon)
		if got, want := table.Stats().MaxClients, max(clients, 1); got != want {
			t.Errorf("NewTable(%d): %d places", clients, got)
		}
		for n := range 4 * max(clients, 1) {
			table.Take(client(n), Create, 1, noon)
		}
		if st := table.Stats(); st.Clients > st.MaxClients || st.Clients < st.MaxClients*9/10 {
			t.Errorf("NewTable(%d): four times as many clients fill %d places", clients, st.Clients)
		}
	}
}

func TestConcurrentTakesGrantOneBurst(t *testing.T) {
	table := NewTable(defaults(t), 4, noon)
	var wg sync.WaitGroup
	granted := make([]int, 8)
	for g := range granted {
		wg.Go(func() {
			for n := range 1000 {
				if table.Take(client(7), Create, 1, noon).Allowed {
					granted[g]++
				}
				d := table.Take(client(100*g+n), Read, 1, noon)
				table.Peek(client(n), Miss, noon)
				table.Refund(client(100*g+n), d, 1, noon)
				table.Stats()
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range granted {
		sum += n
	}
	if sum > 30 || sum == 0 {
		t.Errorf("eight at once were granted %d, want at most 30", sum)
	}
}

// Where the well-known limiter has no trouble with its clock, this one decides
// as it does.
func TestDecidesAsTheWellKnownLimiterDoes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, text := range []string{"1/s:30", "50/s:100", "12/m:30", "7/s:10", "1000/h:3", "3/d:2"} {
		r := mustRate(t, text)
		table := NewTable(Limits{Create: r}, 1, noon)
		other := rate.NewLimiter(rate.Limit(float64(r.tokens)/r.per.Seconds()), int(r.burst))
		now := noon
		granted := 0
		for range 20_000 {
			now = now.Add(time.Duration(rnd.ExpFloat64() * float64(r.per) / float64(r.tokens)).Truncate(time.Microsecond))
			n := 1 + rnd.Int64N(min(r.burst, 3))
			if left := other.TokensAt(now) - float64(n); math.Abs(left) < 1e-6 {
				continue // its rounding decides, and from here on the two would differ
			}
			want := other.AllowN(now, int(n))
			if got := table.Take(client(1), Create, n, now); got.Allowed != want {
				t.Fatalf("%s: Take of %d at %v: %+v, want %v", text, n, now.Sub(noon), got, want)
			} else if want {
				granted++
			}
		}
		if granted < 5000 || granted > 19_000 {
			t.Errorf("%s: granted %d of 20,000: the schedule shows nothing", text, granted)
		}
	}
}
