package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Well-behaved clients read at four fifths of their rate, next to two clients that
// ask for many times what they may have: one for short messages, one for the
// largest. Quiet and loaded phases take turns.
const (
	neighboursCount = 4
	pairs           = 6
	floodFactor     = 8
	mostFlood       = 400 // requests a second: more, and it is this program that is slow
	mostSlower      = 3   // times the quiet p99
)

// phase is how long one quiet or loaded phase lasts.
func (t *test) phase() time.Duration { return t.time / (2 * pairs) }

func (t *test) calmRate() int { return max(int(0.8*t.policies["read"].rate()), 1) }

func (t *test) floodRate() int {
	return min(int(floodFactor*t.policies["read"].rate())+1, mostFlood)
}

// neighbourly is how many requests this part of the test makes, about.
func (t *test) neighbourly() int {
	return int(t.time.Seconds()) * (neighboursCount*t.calmRate() + (t.floodRate()+t.largeRate())/2)
}

// largeRate is what a client may read without a limit of bytes.
func (t *test) largeRate() int { return min(max(int(t.policies["read"].rate()), 1), mostFlood) }

// neighbours checks that a flood harms only its sender: clients that keep to
// their budget are never refused, and are answered about as fast.
//
// Other programs on the machine slow some moments down. So each loaded phase is
// compared with the quiet one next to it, and the median of these ratios counts: a
// service that does not protect its clients is slow in all of them.
func (t *test) neighbours(ctx context.Context, r *report) {
	var calm []*flow
	for range neighboursCount {
		calm = append(calm, t.reader("read", t.link, t.calmRate()))
	}
	short, large := t.reader("read", t.link, t.floodRate()), t.reader("read-bytes", t.large, t.largeRate())
	floods := []*flow{short, large}
	together(slices.Concat(calm, floods), func(f *flow) { f.judgeOnce() }) // handshakes are not timed
	r.title("Well-behaved readers next to two flooding ones")
	r.row("pair", "quiet p50", "quiet p99", "loaded p50", "loaded p99", "p99 ratio", "short offered", "accepted", "large offered", "accepted")
	var ratios []float64
	for pair := range pairs {
		if ctx.Err() != nil {
			return
		}
		quiet := t.latencies(calm)
		offered := [2]int{len(short.samples), len(large.samples)}
		got := [2]int{short.count(accepted), large.count(accepted)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			together(floods, func(f *flow) { f.run(t.phase()) })
		}()
		loaded := t.latencies(calm)
		<-done
		ratio := loaded.p99.Seconds() / quiet.p99.Seconds()
		ratios = append(ratios, ratio)
		r.row(pair+1, show(quiet.p50), show(quiet.p99), show(loaded.p50), show(loaded.p99), fmt.Sprintf("%.2f", ratio),
			len(short.samples)-offered[0], short.count(accepted)-got[0], len(large.samples)-offered[1], large.count(accepted)-got[1])
	}
	slices.Sort(ratios)
	median := (ratios[pairs/2-1] + ratios[pairs/2]) / 2
	r.line("median p99 ratio %.2f, at most %d", median, mostSlower)
	if median > mostSlower {
		r.violation("next to a flood, well-behaved clients' p99 is %.2f times its quiet value", median)
	}
	sent := 0
	for _, f := range calm {
		sent += len(f.samples)
		if n := f.count(refused); n > 0 {
			r.violation("well-behaved client %v was refused %d times", f.addr, n)
		}
		r.problems(f)
	}
	r.line("%d requests of well-behaved clients, none may be refused", sent)
	for _, f := range floods {
		if f.count(refused) == 0 {
			r.violation("the flood of %s was not refused", f.budget)
		}
		r.problems(f)
	}
}

func show(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

// reader is a new client that reads a message at a rate a second.
func (t *test) reader(budget, link string, rate int) *flow {
	return &flow{
		client: t.clients.one(), budget: budget, policy: t.policies[budget], cost: 1,
		target: t.get(link), good: http.StatusOK, rate: vegeta.Rate{Freq: rate, Per: time.Second},
	}
}

// judgeOnce opens the client's connection with a first request.
func (f *flow) judgeOnce() {
	r, err := f.once(f.target)
	if err != nil {
		r = &vegeta.Result{Error: err.Error()}
	}
	if f.judge(r) != accepted {
		f.samples = append(f.samples, sample{at: time.Now(), outcome: failed})
	}
}

// latencies runs the flows for one phase and returns how fast they all together
// were answered in it.
func (t *test) latencies(flows []*flow) struct{ p50, p99 time.Duration } {
	before := make(map[*flow]int)
	for _, f := range flows {
		before[f] = len(f.samples)
	}
	together(flows, func(f *flow) { f.run(t.phase()) })
	var all []time.Duration
	for _, f := range flows {
		for _, s := range f.samples[before[f]:] {
			all = append(all, s.latency)
		}
	}
	slices.Sort(all)
	return struct{ p50, p99 time.Duration }{all[len(all)/2], all[len(all)*99/100]}
}
