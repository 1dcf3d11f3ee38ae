package main

import (
	"fmt"
	"strings"
	"time"
)

// A round is one fault under load, and what became of the messages.
type round struct {
	topology string
	fault    string
	replicas int // --redis-replicas
	summary  string
	verdict  verdict
	recovery time.Duration // from when Redis could serve until the service did
	notes    []note        // the plain messages that the audit found
}

// slowest is how long the service may take to serve again when Redis can.
const slowest = 5 * time.Second

// slowestAnswer is how long an answer may take, whatever Redis does. A store call ends
// after 1.5 s; the rest is for a busy machine.
const slowestAnswer = 10 * time.Second

// problem says what must not have happened; empty if nothing did.
func (r *round) problem() string {
	var all []string
	if r.verdict.bad() {
		all = append(all, r.verdict.examples...)
	}
	if r.verdict.slowest > slowestAnswer {
		all = append(all, fmt.Sprintf("an answer took %v, at most %v", r.verdict.slowest, slowestAnswer))
	}
	if r.recovery > slowest {
		all = append(all, fmt.Sprintf("the service served %v after Redis could, at most %v", r.recovery, slowest))
	}
	return strings.Join(all, "\n    ")
}

func (r *round) String() string {
	v := &r.verdict
	return fmt.Sprintf("%-9s %-20s N=%d  %-30s lost %d  false gone %d  too often %d  undone %d  slowest answer %4d ms  back after %4d ms",
		r.topology, r.fault, r.replicas, r.summary, v.lost, v.falseGone, v.tooOften, v.undone, v.slowest.Milliseconds(), r.recovery.Milliseconds())
}

// play runs one round: load, a fault, recovery, the end of the load, the audit.
func play(l *lab, t topology, s *service, f fault, replicas int) (*round, error) {
	c := newCaller(s.url, time.Now())
	defer c.client.CloseIdleConnections()
	r := &round{topology: t.name(), fault: f.name, replicas: replicas}
	work := startLoad(l.ctx, c)
	defer work.end()
	if err := someMore(l, c); err != nil {
		return nil, fmt.Errorf("before the fault: %w", err)
	}
	if err := f.do(l, t, c); err != nil {
		return nil, err
	}
	if err := r.recover(l, t, s, c); err != nil {
		return nil, err
	}
	if err := someMore(l, c); err != nil {
		return nil, fmt.Errorf("after the fault: %w", err)
	}
	work.end()
	c.audit(l.ctx, c.past.acknowledged())
	r.verdict, r.summary, r.notes = judge(c.past), c.summary(), c.past.present()
	return r, nil
}

// recover waits until Redis can serve and then until the service does, and measures the
// time in between. That the service never does is a result too.
func (r *round) recover(l *lab, t topology, s *service, c *caller) error {
	if err := l.await("Redis takes writes again", t.writable); err != nil {
		return err
	}
	able := c.now()
	_ = l.awaitFor(3*slowest, "the service serves again", func() bool { return c.serves(l.ctx) && s.ready(l) })
	r.recovery = c.now() - able
	return l.ctx.Err()
}

// reread asks once more for all messages of all rounds.
func reread(l *lab, s *service, rounds []*round) verdict {
	c := newCaller(s.url, time.Now())
	defer c.client.CloseIdleConnections()
	for _, r := range rounds {
		for _, n := range r.notes {
			n.acked = 0
			c.past.acknowledge(n)
		}
	}
	c.audit(l.ctx, c.past.acknowledged())
	return judge(c.past)
}
