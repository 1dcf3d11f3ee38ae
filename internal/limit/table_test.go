package limit

import (
	"encoding/binary"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.UTC)

// defaults are limits like the service's defaults. Bytes come back faster, so that a
// test sees them come back.
func defaults(t testing.TB) Limits {
	return Limits{
		Create:      mustRate(t, "1/s:30"),
		TokenCreate: mustRate(t, "1/s:30"),
		Read:        mustRate(t, "50/s:100"),
		Miss:        mustRate(t, "12/m:30"),
		Bytes:       mustRate(t, "64KiB/s:4MiB"),
		ReadBytes:   mustRate(t, "1MiB/s:16MiB"),
		Handshake:   mustRate(t, "20/s:60"),
	}
}

// client returns one of many distinct clients, each in a network of its own.
func client(n int) (c Client) {
	copy(c[:], []byte{0x20, 0x01})
	binary.BigEndian.PutUint32(c[2:], uint32(n))
	return c
}

// neighbour returns one of many distinct clients of one IPv6 /48.
func neighbour(n uint16) (c Client) {
	copy(c[:], []byte{0x20, 0x01, 0x0d, 0xb8, 0xaa, 0xaa})
	binary.BigEndian.PutUint16(c[6:], n)
	return c
}

func v4(n uint16) Client {
	return Client(netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}).As16())
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
		table := NewTable(defaults(t), 1)
		test.last.Budget, test.refused.Budget = test.budget, test.budget
		for i := 1; i < test.times; i++ {
			if d := take(table, client(1), test.budget, test.n, noon); !d.Allowed {
				t.Fatalf("%v: refused the %d. time: %+v", test.budget, i, d)
			}
		}
		if got := take(table, client(1), test.budget, test.n, noon); got != test.last {
			t.Errorf("%v: the last one: got %+v, want %+v", test.budget, got, test.last)
		}
		if got := peek(table, client(1), test.budget, test.n, noon); got != test.refused {
			t.Errorf("%v: Peek at one too many: got %+v, want %+v", test.budget, got, test.refused)
		}
		got := take(table, client(1), test.budget, test.n, noon)
		if got != test.refused {
			t.Errorf("%v: one too many: got %+v, want %+v", test.budget, got, test.refused)
		}
		later := noon.Add(time.Duration(got.RetryAfter) * time.Second)
		if d := take(table, client(1), test.budget, test.n, later.Add(-time.Second)); d.Allowed {
			t.Errorf("%v: granted a second before Retry-After is over: %+v", test.budget, d)
		}
		if d := take(table, client(1), test.budget, test.n, later); !d.Allowed || d.Remaining != test.takenAgain {
			t.Errorf("%v: after Retry-After: got %+v, want it allowed with %d left", test.budget, d, test.takenAgain)
		}
	}
}

func TestBudgetsAndClientsAreTheirOwn(t *testing.T) {
	table := NewTable(defaults(t), 100)
	for take(table, client(1), Create, 1, noon).Allowed {
	}
	for b := range budgets {
		if d := peek(table, client(1), b, 1, noon); d.Allowed != (b != Create) {
			t.Errorf("creates spent: %v allowed %v", b, d.Allowed)
		}
		if d := peek(table, client(2), b, 1, noon); !d.Allowed || d.Remaining != d.Quota {
			t.Errorf("another client's %v: %+v, want a full bucket", b, d)
		}
	}
}

func TestOffLimitsNothing(t *testing.T) {
	table := NewTable(Limits{}, 1)
	for b := range budgets {
		want := Decision{Budget: b, Allowed: true}
		d := take(table, client(1), b, math.MaxInt64, noon)
		if d != want || peek(table, client(1), b, 1, noon) != want || table.Charge(client(1), b, 1, noon) != want {
			t.Errorf("%v: got %+v, want %+v", b, d, want)
		}
	}
	if n := table.Stats().Clients; n != 0 {
		t.Errorf("%d clients are tracked though nothing is limited", n)
	}
}

func TestPeekTakesNothing(t *testing.T) {
	table := NewTable(defaults(t), 1)
	for range 100 {
		if d := peek(table, client(1), Miss, 30, noon); !d.Allowed || d.Remaining != 30 {
			t.Fatalf("Peek: got %+v, want all 30", d)
		}
	}
	if n := table.Stats().Clients; n != 0 {
		t.Errorf("Peek made an entry: %d clients", n)
	}
}

// Each request that passed a Peek is charged, and all are paid before the next
// one passes. A charge may be larger than the burst.
func TestChargeMakesDebts(t *testing.T) {
	for _, charges := range [][]int64{{1, 1, 1, 1, 1, 35}, {40}, {39, 1}} {
		table := NewTable(defaults(t), 1)
		var d Decision
		for _, n := range charges {
			d = table.Charge(client(1), Miss, n, noon)
		}
		if !d.Allowed || d.Remaining != 0 || d.Reset != 55 { // 10 owed and 1 to have, 5 s each
			t.Errorf("%v of 30: got %+v, want it allowed and 55 seconds", charges, d)
		}
		if d := peek(table, client(1), Miss, 1, noon); d.Allowed || d.RetryAfter != 55 {
			t.Errorf("after %v of 30: got %+v, want 55 seconds", charges, d)
		}
		if d := peek(table, client(1), Miss, 1, noon.Add(54999*time.Millisecond)); d.Allowed {
			t.Errorf("%v, before the debt is paid: got %+v", charges, d)
		}
		if d := peek(table, client(1), Miss, 1, noon.Add(55*time.Second)); !d.Allowed || d.Remaining != 1 {
			t.Errorf("%v, after the debt is paid: got %+v", charges, d)
		}
	}
}

func TestTimeThatRunsBackGrantsNothing(t *testing.T) {
	table := NewTable(defaults(t), 1)
	now, granted := noon.Add(time.Hour), 0
	for i := range 10_000 {
		if take(table, client(1), Create, 1, now.Add(-time.Duration(i%2)*time.Minute)).Allowed {
			granted++
		}
	}
	if granted != 30 {
		t.Errorf("granted %d with a clock that jumps, want 30", granted)
	}
}

// Clients without room share one overflow bucket, and continue at its level once
// there is room for them.
func TestOverflow(t *testing.T) {
	limits := Limits{Create: mustRate(t, "1/s:10")}
	table := NewTable(limits, 2)
	for n := 1; n <= 2; n++ {
		take(table, client(n), Create, 10, noon)
	}
	granted := 0
	for n := 3; n < 100; n++ {
		if take(table, client(n), Create, 1, noon).Allowed {
			granted++
		}
	}
	if st := table.Stats(); granted != 10 || st != (Stats{Clients: 2, Overflows: 97}) {
		t.Errorf("97 newcomers to a full table were granted %d, want 10 together; %+v", granted, st)
	}
	// Client 3 has had a token of the overflow's ten. Five seconds later the
	// table is still full, ten seconds later it has room and all is refilled.
	now := noon.Add(5 * time.Second)
	if d := take(table, client(3), Create, 5, now); !d.Allowed || d.Remaining != 0 {
		t.Errorf("after 5 s: got %+v, want the five tokens that the overflow bucket has again", d)
	}
	now = noon.Add(10 * time.Second)
	if d := take(table, client(3), Create, 1, now); !d.Allowed || d.Remaining != 4 || table.Stats().Overflows != 98 {
		t.Errorf("with a bucket of its own: got %+v, want the four left of five", d)
	}
	// Nobody pays for the debts of strangers.
	now = noon.Add(time.Hour)
	for n := 1; n <= 2; n++ {
		take(table, client(n), Create, 10, now)
	}
	for n := 3; n < 100; n++ {
		table.Charge(client(n), Create, 1, now)
	}
	if d := peek(table, client(200), Create, 1, now); d.Allowed || d.RetryAfter != 1 {
		t.Errorf("after 97 charges to the overflow bucket: got %+v, want no debt", d)
	}
}

// Only clients with full buckets are forgotten, whichever budget it is.
func TestEvictionTakesOnlyFullBuckets(t *testing.T) {
	for b := range budgets {
		table := NewTable(defaults(t), 1)
		take(table, client(1), b, 1, noon)
		token := time.Duration(float64(time.Second) / table.limits[b].perSecond())
		take(table, client(2), b, 1, noon.Add(token-2*time.Nanosecond))
		if st := table.Stats(); st.Overflows != 1 {
			t.Errorf("%v: a moment before the bucket is full: %+v, want its client to stay", b, st)
		}
		take(table, client(3), b, 1, noon.Add(token+time.Microsecond))
		if st := table.Stats(); st.Overflows != 1 || st.Clients != 1 {
			t.Errorf("%v: once the bucket is full: %+v, want its client to be forgotten", b, st)
		}
	}
}

// One IPv6 /48 takes at most a quarter of the table, because a /48 is cheap to rent.
// Its further clients share one bucket, and other clients are not affected.
func TestOneNetworkHasAQuarter(t *testing.T) {
	const clients = 200
	table := NewTable(defaults(t), clients)
	granted := 0
	for n := range uint16(4 * clients) {
		if take(table, neighbour(n), Create, 30, noon).Allowed {
			granted++
		}
	}
	if st := table.Stats(); granted != clients/4+1 || st.Clients != clients/4+1 {
		t.Errorf("%d clients of one /48 were granted a burst, %+v; want %d and one that they share", granted, st, clients/4)
	}
	for n := range uint16(100) {
		for _, stranger := range []Client{v4(n), client(int(n))} {
			if d := take(table, stranger, Create, 1, noon); !d.Allowed || d.Remaining != 29 {
				t.Fatalf("a stranger: got %+v, want a full bucket of its own", d)
			}
		}
		if table.Stats().Clients == clients {
			break
		}
	}
}

// IPv4 has no networks of that kind: all its addresses are one /48 in IPv6.
func TestIPv4IsNoNetwork(t *testing.T) {
	table := NewTable(defaults(t), 100)
	for n := range uint16(100) {
		take(table, v4(n), Create, 30, noon)
	}
	if st := table.Stats(); st != (Stats{Clients: 100}) {
		t.Errorf("100 IPv4 clients in a table for 100: %+v", st)
	}
}

// A client that shared the bucket of its /48 has no second burst when there is
// room for it.
func TestLeavingASharedBucketGrantsNothing(t *testing.T) {
	table := NewTable(Limits{Create: mustRate(t, "1/s:10"), Read: mustRate(t, "1/s:10")}, 4)
	take(table, neighbour(1), Create, 10, noon) // the quarter
	granted := int64(0)
	spend := func(now time.Time) {
		for take(table, neighbour(2), Create, 1, now).Allowed {
			granted++
		}
	}
	spend(noon)
	now := noon.Add(5 * time.Second)
	spend(now)
	now = noon.Add(10 * time.Second) // the first client is full, and makes room for others
	for n := range 3 {
		take(table, client(n), Read, 1, now)
	}
	spend(noon.Add(11 * time.Second)) // as one of these does now
	if granted != 21 {
		t.Errorf("granted %d in 11 seconds, want the burst of 10 and one a second", granted)
	}
}

// While a million clients come, an earlier one keeps its exact bucket. Memory does
// not grow with them.
func TestMillionClients(t *testing.T) {
	const clients = 65_536
	before := liveHeap()
	table := NewTable(defaults(t), clients)
	honest := client(1 << 30)
	for range 15 {
		take(table, honest, Create, 1, noon)
	}
	now := noon
	for n := range 1_000_000 {
		now = now.Add(2 * time.Microsecond) // two seconds in all
		take(table, client(n), Create, 1, now)
		table.Charge(client(n), Miss, 1, now)
	}
	grown := liveHeap() - before
	if got := peek(table, honest, Create, 1, now); got.Remaining != 17 {
		t.Errorf("after a million clients: %+v, want 15 left of 30, and two more for two seconds", got)
	}
	st := table.Stats()
	if st.Clients > clients || st.Clients < clients*99/100 {
		t.Errorf("%+v, want just about %d clients", st, clients)
	}
	t.Logf("%+v; the heap has grown by %d bytes, %d for each of %d clients", st, grown, grown/clients, clients)
	if grown > 600*clients {
		t.Errorf("the heap has grown by %d bytes for each client, want at most 600", grown/clients)
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

func TestTableTracksAsManyAsAskedFor(t *testing.T) {
	for _, clients := range []int{-1, 0, 1, 2, 255, 256, 511, 512, 1000, 16_384, 50_003} {
		table := NewTable(defaults(t), clients)
		want := max(clients, 1)
		for n := range 4 * want {
			take(table, client(n), Create, 1, noon)
		}
		if st := table.Stats(); st.Clients > want || st.Clients < want*9/10 {
			t.Errorf("NewTable(%d): four times as many clients come, and %d are tracked", clients, st.Clients)
		}
	}
}

func TestConcurrentTakesGrantOneBurst(t *testing.T) {
	table := NewTable(defaults(t), 4)
	var wg sync.WaitGroup
	granted := make([]int, 8)
	for g := range granted {
		wg.Go(func() {
			for n := range 1000 {
				if take(table, client(7), Create, 1, noon).Allowed {
					granted[g]++
				}
				take(table, client(100*g+n), Read, 1, noon)
				peek(table, client(n), Miss, 1, noon)
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

// A taker is a Table or a Shared.
type taker interface {
	Take(c Client, now time.Time, costs ...Cost) []Decision
}

func take(t taker, c Client, b Budget, n int64, now time.Time) Decision {
	return t.Take(c, now, Cost{Budget: b, N: n})[0]
}

func peek(t taker, c Client, b Budget, n int64, now time.Time) Decision {
	return t.Take(c, now, Cost{Budget: b, N: n, Peek: true})[0]
}
