package limit

import (
	"math/rand/v2"
	"testing"
	"time"
)

// bestVictim is yield, spelled out over all connections.
func bestVictim(all []*place, c Client, now time.Time) *place {
	open := make(map[Client]int)
	for _, p := range all {
		if p.member != nil {
			open[p.member.client]++
		}
	}
	var best *place
	for _, p := range all {
		if p.spare == nil {
			continue
		}
		n := open[p.member.client]
		if best == nil || n > open[best.member.client] || n == open[best.member.client] && p.since.Before(best.since) {
			best = p
		}
	}
	if best == nil {
		return nil
	}
	most, next := open[best.member.client], open[c]+1
	if most > next || most == next && now.Sub(best.since) >= grace {
		return best
	}
	return nil
}

// Whatever comes and goes, the gate counts right, and chooses as if it had
// looked at every connection.
func TestGateModel(t *testing.T) {
	displaced := 0
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		g := newGate(1+rnd.IntN(60), 1+rnd.IntN(10))
		var all []*place
		now := noon
		for range 2000 {
			now = now.Add(time.Duration(1 + rnd.IntN(100_000_000)))
			switch op := rnd.IntN(10); {
			case op < 4:
				c, proxy := client(rnd.IntN(20)), rnd.IntN(10) == 0
				if !proxy && g.crowded(c) {
					continue
				}
				if g.full() {
					got, want := g.yield(c, now), bestVictim(all, c, now)
					if got != want {
						t.Fatalf("seed %d: %+v has to yield, want %+v", seed, got, want)
					}
					if got == nil || proxy {
						continue
					}
					displaced++
					g.remove(got)
					all = without(all, got)
				}
				p := new(place)
				g.add(p, c, proxy)
				all = append(all, p)
			case len(all) == 0:
			case op < 6:
				p := all[rnd.IntN(len(all))]
				g.remove(p)
				g.remove(p)
				g.setSpare(p, true, now)
				all = without(all, p)
			default:
				g.setSpare(all[rnd.IntN(len(all))], rnd.IntN(3) > 0, now)
			}
			checkGate(t, &g, all)
		}
		for _, p := range all {
			g.remove(p)
		}
		checkGate(t, &g, nil)
	}
	if displaced < 1000 {
		t.Errorf("only %d had to yield: the schedule shows little", displaced)
	}
}

func without(all []*place, p *place) []*place {
	var rest []*place
	for _, q := range all {
		if q != p {
			rest = append(rest, q)
		}
	}
	return rest
}

func checkGate(t *testing.T, g *gate, all []*place) {
	t.Helper()
	if g.open != len(all) || g.open > g.max {
		t.Fatalf("%d connections are counted, there are %d, at most %d", g.open, len(all), g.max)
	}
	members := make(map[*member]int)
	for _, p := range all {
		if p.member != nil {
			members[p.member]++
		}
	}
	if len(members) != len(g.members) || len(members) != len(g.byLoad) {
		t.Fatalf("%d clients have connections, the gate knows %d and has %d in its heap", len(members), len(g.members), len(g.byLoad))
	}
	for m, n := range members {
		if m.open != n || n > g.maxPerClient || g.members[m.client] != m || g.byLoad[m.index] != m {
			t.Fatalf("client %v has %d connections: %+v", m.client, n, m)
		}
	}
}

func TestGateWithoutLimits(t *testing.T) {
	g := newGate(0, 0)
	for range 1000 {
		if g.full() || g.crowded(client(1)) {
			t.Fatal("a gate without limits is closed")
		}
		g.add(new(place), client(1), false)
	}
}

// Who has to make room, and for whom.
func TestYield(t *testing.T) {
	spare := func(g *gate, c Client, n int, since time.Time) (first *place) {
		for i := range n {
			p := new(place)
			g.add(p, c, false)
			g.setSpare(p, true, since.Add(time.Duration(i)))
			if first == nil {
				first = p
			}
		}
		return first
	}
	a, b, c := client(1), client(2), client(3)
	for _, test := range []struct {
		name    string
		prepare func(g *gate) *place // returns who has to go
		after   time.Duration
	}{
		{"the client with most, its oldest", func(g *gate) *place {
			spare(g, b, 2, noon)
			return spare(g, a, 3, noon.Add(1))
		}, time.Millisecond},
		{"none without spare ones", func(g *gate) *place {
			for range 3 {
				g.add(new(place), a, false)
			}
			return nil
		}, time.Hour},
		{"the next, when the first has none spare", func(g *gate) *place {
			for range 3 {
				g.add(new(place), a, false)
			}
			return spare(g, b, 2, noon)
		}, time.Millisecond},
		{"none with as many, at first", func(g *gate) *place {
			spare(g, a, 1, noon)
			spare(g, b, 1, noon)
			return nil
		}, grace - time.Nanosecond*2},
		{"the oldest with as many, after the grace", func(g *gate) *place {
			spare(g, a, 1, noon.Add(1))
			return spare(g, b, 1, noon)
		}, grace},
		{"none for who has more", func(g *gate) *place {
			spare(g, c, 1, noon)
			spare(g, a, 1, noon)
			return nil
		}, time.Hour},
		{"never a proxy's", func(g *gate) *place {
			p := new(place)
			g.add(p, a, true)
			g.setSpare(p, true, noon)
			return nil
		}, time.Hour},
		{"the longest idle, not the oldest", func(g *gate) *place {
			old, p := new(place), new(place)
			g.add(old, a, false)
			g.add(p, a, false)
			g.setSpare(old, true, noon)
			g.setSpare(p, true, noon.Add(1))
			g.setSpare(old, false, noon.Add(2))
			g.setSpare(old, true, noon.Add(3))
			return p
		}, time.Millisecond},
	} {
		g := newGate(1, 0)
		want := test.prepare(&g)
		if got := g.yield(c, noon.Add(test.after)); got != want {
			t.Errorf("%s: %+v has to go, want %+v", test.name, got, want)
		}
	}
}

func BenchmarkGate(b *testing.B) {
	g := newGate(8192, 64)
	for n := range 8192 {
		p := new(place)
		g.add(p, client(n%4000), false)
		g.setSpare(p, true, noon)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		c := client(10_000 + n)
		v := g.yield(c, noon)
		g.remove(v)
		p := new(place)
		g.add(p, client(n%4000), false)
		g.setSpare(p, true, noon)
	}
}
