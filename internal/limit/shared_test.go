package limit

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// newShared returns a Shared that waits a minute for Redis, so that a slow machine
// does not change what it decides.
func newShared(client redis.Scripter, limits Limits) *Shared {
	s := NewShared(client, NewTable(limits, 100), slog.New(slog.DiscardHandler))
	s.timeout = time.Minute
	return s
}

// A callCounter counts the calls of the script, and notes the longest deadline.
type callCounter struct {
	redis.Scripter
	calls   atomic.Int64
	longest atomic.Int64
}

func (s *callCounter) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	s.calls.Add(1)
	deadline, ok := ctx.Deadline()
	if left := time.Until(deadline); !ok {
		s.longest.Store(int64(time.Hour))
	} else if int64(left) > s.longest.Load() {
		s.longest.Store(int64(left))
	}
	return s.Scripter.EvalSha(ctx, sha, keys, args...)
}

// slowLimits refill so slowly that a test sees only what it takes.
func slowLimits(t testing.TB) Limits {
	return Limits{Create: mustRate(t, "1/h:30"), Read: mustRate(t, "1/h:100"), Miss: mustRate(t, "1/h:3"), Bytes: mustRate(t, "1KiB/d:4MiB")}
}

func TestSharedDecidesAsATableDoes(t *testing.T) {
	server := startRedis(t)
	client1 := server.client(&redis.Options{})
	c := client(1)
	check := func(name string, got, want Decision) {
		t.Helper()
		// The table's clock stands still, and Redis's does not.
		late := func(got, want int64) bool { return got <= want && got > want-60 }
		if late(got.Reset, want.Reset) && late(got.RetryAfter, want.RetryAfter) {
			got.Reset, got.RetryAfter = want.Reset, want.RetryAfter
		}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	limits := slowLimits(t)
	shared, table := newShared(client1, limits), NewTable(limits, 1)
	for i := range 32 {
		check(fmt.Sprintf("create %d", i), take(shared, c, Create, 1, time.Now()), take(table, c, Create, 1, noon))
	}
	for i, n := range []int64{1 << 20, 4 << 20, 4<<20 + 1, 3 << 20, 1} {
		check(fmt.Sprintf("bytes %d", i), take(shared, c, Bytes, n, time.Now()), take(table, c, Bytes, n, noon))
	}
	for i := range 5 {
		check(fmt.Sprintf("peek %d", i), peek(shared, c, Miss, 1, time.Now()), peek(table, c, Miss, 1, noon))
		check(fmt.Sprintf("charge %d", i), shared.Charge(c, Miss, 1, time.Now()), table.Charge(c, Miss, 1, noon))
	}
	check("off", take(shared, c, Handshake, 1, time.Now()), take(table, c, Handshake, 1, noon))
	check("off", peek(shared, c, Handshake, 1, time.Now()), peek(table, c, Handshake, 1, noon))
	check("off", shared.Charge(c, Handshake, 1, time.Now()), table.Charge(c, Handshake, 1, noon))

	if got := shared.Fallbacks(); got != 0 {
		t.Errorf("the local table was asked %d times", got)
	}
}

// A decision about several budgets is one round trip, and takes from none of them
// where one is spent.
func TestSharedTakesFromAllOrNone(t *testing.T) {
	server := startRedis(t)
	counted := &callCounter{Scripter: server.client(&redis.Options{})}
	shared, table := newShared(counted, slowLimits(t)), NewTable(slowLimits(t), 1)
	c := client(1)
	costs := []Cost{{Budget: Read, N: 1}, {Budget: Miss, N: 1, Peek: true}, {Budget: Handshake, N: 1}}
	left := func(decisions []Decision) (left []string) {
		for _, d := range decisions {
			left = append(left, fmt.Sprintf("%v %v %d", d.Budget, d.Allowed, d.Remaining))
		}
		return left
	}
	for i := range 5 {
		calls := counted.calls.Load()
		got, want := left(shared.Take(c, time.Now(), costs...)), left(table.Take(c, noon, costs...))
		if !slices.Equal(got, want) {
			t.Errorf("read %d: got %v, want %v", i, got, want)
		}
		if n := counted.calls.Load() - calls; i > 0 && n != 1 {
			t.Errorf("read %d: %d round trips, want 1", i, n)
		}
		shared.Charge(c, Miss, 1, time.Now())
		table.Charge(c, Miss, 1, noon)
	}
	if got := peek(shared, c, Read, 1, time.Now()); got.Remaining != 97 {
		t.Errorf("after 3 reads and 2 that were refused: %+v, want 97 left", got)
	}
}

// If Redis has lost its script cache, the script is sent again.
func TestSharedSurvivesALostScriptCache(t *testing.T) {
	server := startRedis(t)
	admin := server.client(&redis.Options{})
	shared := newShared(admin, slowLimits(t))
	for i := range 5 {
		if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if d := take(shared, client(1), Create, 1, time.Now()); d.Remaining != int64(29-i) {
			t.Fatalf("decision %d: %+v", i, d)
		}
	}
	if got := shared.Fallbacks(); got != 0 {
		t.Errorf("the local table was asked %d times", got)
	}
}

// Redis does not see the address of a client, and a key is gone when its bucket is
// full.
func TestSharedLeavesNothingBehind(t *testing.T) {
	server := startRedis(t)
	admin := server.client(&redis.Options{})
	limits := slowLimits(t)
	limits[Read] = mustRate(t, "100/s:100")
	shared := newShared(admin, limits)
	c := clientOf(newResolver(t), "203.0.113.9:1", nil)
	ctx := t.Context()
	peek(shared, c, Create, 1, time.Now())
	if n := admin.DBSize(ctx).Val(); n != 0 {
		t.Errorf("a Peek left %d keys", n)
	}
	take(shared, c, Create, 1, time.Now())
	keys := admin.Keys(ctx, "*").Val()
	if len(keys) != 1 || !strings.HasPrefix(keys[0], "rl:create:") || strings.Contains(keys[0], "203.0.113.9") || strings.Contains(keys[0], fmt.Sprintf("%x", c[12:])) {
		t.Errorf("keys %q, want one rl:create: without the address", keys)
	}
	if ttl := admin.PTTL(ctx, keys[0]).Val(); ttl <= 0 || ttl > time.Hour+time.Second {
		t.Errorf("a token that comes back in an hour is kept for %v", ttl)
	}
	for range 10 {
		take(shared, c, Read, 1, time.Now())
	}
	if !eventually(func() bool { return admin.DBSize(ctx).Val() == 1 }) {
		t.Errorf("keys %q: the full bucket is still there", admin.Keys(ctx, "*").Val())
	}
	if got := shared.Fallbacks(); got != 0 {
		t.Errorf("the local table was asked %d times", got)
	}
}

// Replicas share a bucket if their rates are equal, also when they are written in different units.
func TestKeysOfEqualRates(t *testing.T) {
	key := func(rate string) string { return mustRate(t, rate).key(client(1), Bytes) }
	for a, b := range map[string]string{"1/s:30": "60/m:030", "1/m:30": "1440/d:30", "1MiB/s:4MiB": "1024KiB/s:4194304"} {
		if key(a) != key(b) {
			t.Errorf("%s and %s: got the keys %s and %s, want one", a, b, key(a), key(b))
		}
	}
	for _, other := range []string{"2/s:30", "1/m:30", "1/s:31"} {
		if key(other) == key("1/s:30") {
			t.Errorf("%s: got the key of 1/s:30", other)
		}
	}
}

// A clock that is set back must not make a client wait until it is there again.
func TestSharedSurvivesAClockSetBack(t *testing.T) {
	server := startRedis(t)
	admin := server.client(&redis.Options{})
	shared := newShared(admin, Limits{Create: mustRate(t, "1000/s:1")})
	ctx, c := t.Context(), client(1)
	future := server.now(admin).Add(1000 * time.Hour).UnixMicro()
	if err := admin.Set(ctx, shared.local.limits[Create].key(c, Create), fmt.Sprintf("0 %d", future), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if d := take(shared, c, Create, 1, time.Now()); d.Allowed {
		t.Errorf("the clock set back granted a token: %+v", d)
	}
	if !eventually(func() bool { return take(shared, c, Create, 1, time.Now()).Allowed }) {
		t.Error("the client waits for the old time")
	}
}

// The user has the rights that the comment on Shared names, and no other.
func TestSharedNeedsOnlyTheRightsItNames(t *testing.T) {
	server := startRedis(t, strings.Fields(
		"--user default off --user limits on >secret resetkeys ~rl:* resetchannels -@all +eval +evalsha +get +set +time")...)
	shared := newShared(server.client(&redis.Options{Username: "limits", Password: "secret"}), slowLimits(t))
	useAll(t, shared)
}

func TestSharedOnCluster(t *testing.T) {
	server := startRedis(t, clusterPort(t)...)
	admin := server.client(&redis.Options{})
	if err := admin.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return strings.Contains(admin.ClusterInfo(t.Context()).Val(), "cluster_state:ok") }) {
		t.Fatalf("the cluster is not up:\n%s", admin.ClusterInfo(t.Context()).Val())
	}
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.addr}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = cluster.Close() })
	useAll(t, newShared(cluster, slowLimits(t)))
}

// useAll uses each operation for many clients (many slots of a cluster), and checks
// that Redis did it.
func useAll(t *testing.T, shared *Shared) {
	t.Helper()
	for n := range 50 {
		c := client(n)
		d := take(shared, c, Create, 5, time.Now())
		e := peek(shared, c, Create, 1, time.Now())
		f := shared.Charge(c, Create, 2, time.Now())
		if d.Remaining != 25 || e.Remaining != 25 || f.Remaining != 23 {
			t.Fatalf("client %d: %+v, then %+v, then %+v", n, d, e, f)
		}
	}
	if got := shared.Fallbacks(); got != 0 {
		t.Errorf("the local table was asked %d times", got)
	}
}

// Two replicas on one Redis that ask as often as they can are granted one budget.
func TestTwoReplicasShareOneBudget(t *testing.T) {
	server := startRedis(t)
	// The burst is ten seconds' worth: a machine that stands still for nine does not let
	// the bucket run over.
	limits := Limits{Create: mustRate(t, "50/s:500")}
	admin := server.client(&redis.Options{})
	replicas := []*Shared{
		newShared(server.client(&redis.Options{}), limits),
		newShared(server.client(&redis.Options{}), limits),
	}
	var granted, asked atomic.Int64
	ask := func(s *Shared) bool {
		asked.Add(1)
		allowed := take(s, client(1), Create, 1, time.Now()).Allowed
		if allowed {
			granted.Add(1)
		}
		return allowed
	}
	before := server.now(admin)
	ask(replicas[0])
	began := server.now(admin)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, s := range replicas {
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						ask(s)
					}
				}
			})
		}
	}
	// For two seconds at least, and until twice as much was asked for as granted.
	<-time.After(2 * time.Second)
	if !eventually(func() bool { return asked.Load() > 2*granted.Load() }) {
		t.Error("the replicas cannot ask for twice the limit: it was not tried")
	}
	ended := server.now(admin)
	close(stop)
	wg.Wait()
	for ask(replicas[1]) { // what has come back since the last one asked
	}
	after := server.now(admin)

	least, most := 500+50*ended.Sub(began).Seconds(), 500+50*after.Sub(before).Seconds()
	got := float64(granted.Load())
	t.Logf("%d asked, %.0f granted, %.1f to %.1f expected", asked.Load(), got, least, most)
	if got < 0.98*least || got > 1.02*most {
		t.Errorf("two replicas granted %.0f together, want %.1f to %.1f within 2 %%", got, least, most)
	}
	for i, s := range replicas {
		if n := s.Fallbacks(); n != 0 {
			t.Errorf("replica %d asked its local table %d times", i, n)
		}
	}
}

// Redis is killed while two replicas flood it, and comes back. In between each
// replica decides by itself, and counts what it has granted before.
func TestRedisKilledAndBack(t *testing.T) {
	server := startRedis(t)
	limits := Limits{Create: mustRate(t, "100/s:200")}
	var log lockedBuffer
	type replica struct {
		*Shared
		counter *callCounter
		slowest time.Duration
	}
	var replicas []*replica
	for range 2 {
		counter := &callCounter{Scripter: server.client(&redis.Options{MaxRetries: -1})}
		shared := NewShared(counter, NewTable(limits, 100), slog.New(slog.NewTextHandler(&log, nil)))
		replicas = append(replicas, &replica{Shared: shared, counter: counter})
	}
	// flood asks from each replica until the condition holds, and returns what each was granted.
	flood := func(until func(r *replica, d Decision, granted int) bool) (granted [2]int) {
		var wg sync.WaitGroup
		for i, r := range replicas {
			wg.Go(func() {
				tick := time.NewTicker(500 * time.Microsecond) // twenty times what is granted
				defer tick.Stop()
				for ; ; <-tick.C {
					began := time.Now()
					d := take(r, client(1), Create, 1, began)
					r.slowest = max(r.slowest, time.Since(began))
					if d.Allowed {
						granted[i]++
					}
					if until(r, d, granted[i]) {
						return
					}
				}
			})
		}
		wg.Wait()
		return granted
	}
	start := time.Now()
	for _, r := range replicas {
		r.timeout = time.Minute // or a slow machine would have its outage before ours
	}
	before := flood(func(_ *replica, d Decision, _ int) bool { return !d.Allowed }) // the burst is spent
	for _, r := range replicas {
		r.timeout = sharedTimeout
		r.counter.longest.Store(0)
		r.slowest = 0
	}
	if before[0]+before[1] < 200 {
		t.Errorf("before: granted %v, want the burst of 200 at least", before)
	}
	server.kill()
	outage := time.Now()
	calls := [2]int64{replicas[0].counter.calls.Load(), replicas[1].counter.calls.Load()}
	const least = 100 // half of the burst of its own, so that no replica gives nothing
	during := flood(func(_ *replica, _ Decision, granted int) bool {
		lasted := time.Since(outage)
		return lasted > 1200*time.Millisecond && granted >= least || lasted > time.Minute
	})
	lasted := time.Since(outage)
	for i, r := range replicas {
		bound := 200 + int(100*time.Since(start).Seconds()) + 1
		if during[i] < least || before[i]+during[i] > bound {
			t.Errorf("replica %d granted %d and, in an outage of %v, %d: want at least %d, and in all at most the %d of its own budget", i, before[i], lasted, during[i], least, bound)
		}
		if n := r.counter.calls.Load() - calls[i]; n > 2+int64(lasted/breakerPause) {
			t.Errorf("replica %d asked Redis %d times in an outage of %v", i, n, lasted)
		}
		if longest := time.Duration(r.counter.longest.Load()); longest > trialFactor*sharedTimeout {
			t.Errorf("replica %d: a call had %v, want at most %v", i, longest, trialFactor*sharedTimeout)
		}
		r.timeout = time.Minute // as above
	}
	server.start()
	for i, r := range replicas {
		calls[i] = r.counter.calls.Load()
	}
	back := time.Now()
	flood(func(r *replica, _ Decision, _ int) bool { return closed(&r.breaker) || time.Since(back) > time.Minute })
	for i, r := range replicas {
		t.Logf("replica %d: granted %d before and %d in the outage of %v, shared again %v after its end, slowest decision %v",
			i, before[i], during[i], lasted, time.Since(back), r.slowest)
		if n := r.counter.calls.Load() - calls[i]; !closed(&r.breaker) || n > 2+int64(time.Since(back)/breakerPause) {
			t.Errorf("replica %d has found Redis: %t, in %d attempts in %v", i, closed(&r.breaker), n, time.Since(back))
		}
	}
	if text := log.String(); !strings.Contains(text, "Redis does not answer") || !strings.Contains(text, "Redis answers again") {
		t.Errorf("the log says:\n%s", text)
	}
	if lines := strings.Count(log.String(), "\n"); lines > 20 {
		t.Errorf("%d lines are logged for one outage:\n%s", lines, log.String())
	}
}

func closed(b *breaker) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.retry.IsZero()
}

// A Redis that accepts connections and never answers delays one decision, and for
// less time than go-redis would wait.
func TestRedisThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		var held []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range held {
					_ = c.Close()
				}
				return
			}
			held = append(held, c)
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	hung := redis.NewClient(&redis.Options{
		Addr: l.Addr().String(), ContextTimeoutEnabled: true, DialerRetries: 1,
		DialTimeout: time.Hour, ReadTimeout: time.Hour, WriteTimeout: time.Hour,
	})
	t.Cleanup(func() { _ = hung.Close() })
	counter := &callCounter{Scripter: hung}
	var log lockedBuffer
	shared := NewShared(counter, NewTable(slowLimits(t), 100), slog.New(slog.NewTextHandler(&log, nil)))
	granted := 0
	now, began := time.Now(), time.Now()
	for range 1000 {
		if take(shared, client(1), Create, 1, now).Allowed {
			granted++
		}
	}
	t.Logf("1000 decisions took %v", time.Since(began))
	if granted != 30 {
		t.Errorf("granted %d by the local table, want its burst of 30", granted)
	}
	if n := counter.calls.Load(); n != 1 {
		t.Errorf("%d decisions waited for Redis, want 1", n)
	}
	if longest := time.Duration(counter.longest.Load()); longest > sharedTimeout {
		t.Errorf("it had %v, want at most %v", longest, sharedTimeout)
	}
	if n := shared.Fallbacks(); n != 1000 {
		t.Errorf("%d fallbacks are counted, want 1000", n)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "rl:") {
		t.Errorf("want one line without a key in the log, got:\n%s", log.String())
	}
}

// A Redis that refuses the script counts as an outage.
func TestRedisThatRefuses(t *testing.T) {
	server := startRedis(t, strings.Fields("--user default on nopass ~* &* -@all +ping")...)
	shared := newShared(server.client(&redis.Options{}), slowLimits(t))
	if d := take(shared, client(1), Create, 1, time.Now()); shared.Fallbacks() != 1 || !d.Allowed || d.Remaining != 29 {
		t.Errorf("without any rights: %+v, want the local table's decision", d)
	}
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func BenchmarkShared(b *testing.B) {
	server := startRedis(b)
	shared := newShared(server.client(&redis.Options{}), defaults(b))
	b.ReportAllocs()
	for b.Loop() {
		take(shared, client(1), Read, 1, time.Now())
	}
}

func TestBreaker(t *testing.T) {
	var b breaker
	now := noon
	for range 3 {
		if !allows(&b, now) || b.report(now, true) {
			t.Fatal("a new breaker is not closed")
		}
	}
	if !b.report(now, false) {
		t.Error("the first failure does not open it")
	}
	if b.report(now, false) {
		t.Error("the second failure opens it again")
	}
	if allows(&b, now) || allows(&b, now.Add(breakerPause-1)) {
		t.Error("open, it allows a decision")
	}
	now = now.Add(breakerPause)
	if ok, trial := b.allow(now); !ok || !trial {
		t.Error("it allows no trial")
	}
	if allows(&b, now) || allows(&b, now.Add(breakerPause-1)) {
		t.Error("it allows a second trial during the first")
	}
	now = now.Add(breakerPause)
	if !allows(&b, now) {
		t.Error("no trial is allowed after one without an outcome")
	}
	if b.report(now, false) || allows(&b, now.Add(breakerPause-1)) {
		t.Error("a failed attempt closes it")
	}
	now = now.Add(breakerPause)
	if !allows(&b, now) || !b.report(now, true) || b.report(now, true) {
		t.Error("a success does not close it, once")
	}
	for range 3 {
		if !allows(&b, now) {
			t.Error("closed again, it allows nothing")
		}
	}
}

func allows(b *breaker, now time.Time) bool {
	ok, _ := b.allow(now)
	return ok
}

func TestBreakerLetsOneTry(t *testing.T) {
	var b breaker
	b.report(noon, false)
	var through atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if allows(&b, noon.Add(breakerPause)) {
				through.Add(1)
			}
		})
	}
	wg.Wait()
	if got := through.Load(); got != 1 {
		t.Errorf("%d of 16 at once may try again, want 1", got)
	}
}
