package limit

import (
	"math/rand/v2"
	"testing"
	"time"
)

// bestVictim is gate.victim as a search through all connections.
func bestVictim(all []*conn, c Client, now time.Time) *conn {
	open := make(map[Client]int)
	in := make(map[phase]map[Client]int)
	for p := range phase(phases) {
		in[p] = make(map[Client]int)
	}
	for _, s := range all {
		if s.holder != nil {
			open[s.holder.client]++
			in[s.phase][s.holder.client]++
		}
	}
	next := open[c] + 1
	for p := range phase(phases) {
		var best *conn
		for _, s := range all {
			if s.holder == nil || s.phase != p {
				continue
			}
			n := in[p][s.holder.client]
			if best == nil || n > in[p][best.holder.client] || n == in[p][best.holder.client] && s.since.Before(best.since) {
				best = s
			}
		}
		if best == nil {
			continue
		}
		age, more, same := now.Sub(best.since), open[best.holder.client] > next, open[best.holder.client] == next
		if best.holder.client == c {
			more, same = false, true
		}
		switch p {
		case inHandshake, inHeader:
			if more || age >= grace {
				return best
			}
		case idle:
			if more || same && age >= grace {
				return best
			}
		case active:
			if more && age >= activeGrace {
				return best
			}
		}
	}
	return nil
}

// After any sequence of connections the gate's counts are right, and its victim is
// the one that a search through all connections finds.
func TestGateModel(t *testing.T) {
	displaced := 0
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		g := newGate(1+rnd.IntN(60), 1+rnd.IntN(10))
		var all []*conn
		now := noon
		for range 2000 {
			now = now.Add(time.Duration(1 + rnd.IntN(100_000_000)))
			switch op := rnd.IntN(10); {
			case op < 4:
				c, proxy := client(rnd.IntN(20)), rnd.IntN(10) == 0
				if !proxy && g.atLimit(c) {
					continue
				}
				if g.full() {
					got, want := g.victim(c, now), bestVictim(all, c, now)
					if got != want {
						t.Fatalf("seed %d: the victim is %+v, want %+v", seed, got, want)
					}
					if got == nil || proxy {
						continue
					}
					displaced++
					g.remove(got)
					all = without(all, got)
				}
				p := new(conn)
				g.add(p, c, proxy, now)
				all = append(all, p)
			case len(all) == 0:
			case op < 6:
				p := all[rnd.IntN(len(all))]
				g.remove(p)
				g.remove(p)
				g.setPhase(p, idle, now)
				all = without(all, p)
			default:
				g.setPhase(all[rnd.IntN(len(all))], inHeader+phase(rnd.IntN(3)), now)
			}
			checkGate(t, &g, all)
		}
		for _, p := range all {
			g.remove(p)
		}
		checkGate(t, &g, nil)
	}
	if displaced < 1000 {
		t.Errorf("only %d victims: the schedule shows little", displaced)
	}
}

func without(all []*conn, p *conn) []*conn {
	var rest []*conn
	for _, q := range all {
		if q != p {
			rest = append(rest, q)
		}
	}
	return rest
}

func checkGate(t *testing.T, g *gate, all []*conn) {
	t.Helper()
	if g.open != len(all) || g.open > g.max {
		t.Fatalf("%d connections are counted, there are %d, at most %d", g.open, len(all), g.max)
	}
	holders := make(map[*holder]int)
	var in [phases]map[*holder]int
	for p := range in {
		in[p] = make(map[*holder]int)
	}
	for _, s := range all {
		if s.holder != nil {
			holders[s.holder]++
			in[s.phase][s.holder]++
		}
	}
	if len(holders) != len(g.holders) {
		t.Fatalf("%d clients have connections, the gate knows %d", len(holders), len(g.holders))
	}
	for h, n := range holders {
		if h.open != n || n > g.maxPerClient || g.holders[h.client] != h {
			t.Fatalf("client %v has %d connections: %+v", h.client, n, h)
		}
	}
	for p := range in {
		if g.byPhase[p].Len() != len(in[p]) {
			t.Fatalf("%d clients have connections in phase %d, its heap has %d", len(in[p]), p, g.byPhase[p].Len())
		}
		for h, n := range in[p] {
			if h.conns[p].Len() != n || g.byPhase[p].holders[h.index[p]] != h {
				t.Fatalf("client %v has %d connections in phase %d: %+v", h.client, n, p, h)
			}
		}
	}
}

func TestGateWithoutLimits(t *testing.T) {
	g := newGate(0, 0)
	for range 1000 {
		if g.full() || g.atLimit(client(1)) {
			t.Fatal("a gate without limits is closed")
		}
		g.add(new(conn), client(1), false, noon)
	}
}

// The victim depends on each client's connections, their phases and their ages.
func TestVictim(t *testing.T) {
	a, b, c := client(1), client(2), client(3)
	const ms = time.Millisecond
	type held struct {
		client Client
		n      int
		phase  phase
		age    time.Duration // of the oldest; each other one is a millisecond younger
	}
	for _, test := range []struct {
		name   string
		held   []held
		victim int // the oldest of held[victim]; -1: none
	}{
		{"of the client with the most", []held{{a, 3, idle, 100 * ms}, {b, 2, idle, 200 * ms}}, 0},
		{"a handshake before a header", []held{{a, 9, inHeader, 900 * ms}, {b, 2, inHandshake, 10 * ms}}, 1},
		{"a header before an idle one", []held{{a, 9, idle, 900 * ms}, {b, 2, inHeader, 10 * ms}}, 1},
		{"an old handshake of a client with fewer", []held{{c, 9, active, 0}, {a, 1, inHandshake, grace}, {b, 9, idle, time.Hour}}, 1},
		{"an old header of a client with fewer", []held{{c, 9, active, 0}, {a, 1, inHeader, grace}, {b, 9, idle, time.Hour}}, 1},
		{"no young handshake of a client with fewer", []held{{c, 3, active, 0}, {a, 1, inHandshake, grace - ms}}, -1},
		{"an idle one rather than a young handshake", []held{{a, 1, inHandshake, 10 * ms}, {b, 2, idle, 0}}, 1},
		{"none with as many, at first", []held{{a, 1, idle, grace - ms}, {b, 1, idle, 0}}, -1},
		{"the oldest with as many, after the grace", []held{{a, 1, idle, grace}, {b, 1, idle, grace + ms}}, 1},
		{"no idle one of a client with fewer", []held{{c, 1, active, 0}, {a, 1, idle, time.Hour}}, -1},
		{"its own, rather than none", []held{{c, 1, active, 0}, {c, 2, idle, grace}, {a, 1, idle, time.Hour}}, 1},
		{"no young request", []held{{a, 3, active, activeGrace - ms}}, -1},
		{"an old request of a client with more", []held{{a, 3, active, activeGrace}}, 0},
		{"no request of a client with as many", []held{{a, 1, active, time.Hour}}, -1},
		{"the client with the most in the phase, not in all", []held{{a, 60, active, 0}, {a, 1, inHandshake, 20 * ms}, {b, 2, inHandshake, 10 * ms}}, 2},
	} {
		g := newGate(1, 0)
		victim, now := (*conn)(nil), noon.Add(24*time.Hour)
		for i, held := range test.held {
			for n := range held.n {
				s := new(conn)
				since := now.Add(-held.age + time.Duration(n)*ms)
				g.add(s, held.client, false, since)
				g.setPhase(s, held.phase, since)
				if i == test.victim && n == 0 {
					victim = s
				}
			}
		}
		if got := g.victim(c, now); got != victim {
			t.Errorf("%s: the victim is %+v, want %+v", test.name, got, victim)
		}
	}
}

// A trusted proxy's connection may serve any client: it is never the victim.
func TestVictimIsNoProxy(t *testing.T) {
	g := newGate(1, 0)
	g.add(new(conn), client(1), true, noon)
	if got := g.victim(client(2), noon.Add(time.Hour)); got != nil {
		t.Errorf("the victim is %+v, want none", got)
	}
}

// The victim is the one that is idle for the longest, not the one opened first.
func TestVictimIsLongestIdle(t *testing.T) {
	g := newGate(2, 0)
	first, second := new(conn), new(conn)
	for i, s := range []*conn{first, second, first} {
		if i < 2 {
			g.add(s, client(1), false, noon)
		}
		g.setPhase(s, active, noon.Add(time.Duration(i)))
		g.setPhase(s, idle, noon.Add(time.Duration(i)))
	}
	if got := g.victim(client(2), noon.Add(time.Minute)); got != second {
		t.Errorf("the victim is %+v, want %+v", got, second)
	}
}

func BenchmarkGate(b *testing.B) {
	g := newGate(8192, 64)
	for n := range 8192 {
		g.add(new(conn), client(n%4000), false, noon)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		g.remove(g.victim(client(10_000+n), noon))
		g.add(new(conn), client(n%4000), false, noon)
	}
}
