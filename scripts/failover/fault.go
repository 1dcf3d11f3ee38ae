package main

import (
	"syscall"
	"time"
)

// A fault has another server replace a master. It returns when another server
// is master, and all servers run and can reach each other again.
type fault struct {
	name string
	do   func(*lab, topology, *caller) error
}

// linkDelay is what a slow link takes, in each direction.
const linkDelay = 50 * time.Millisecond

func faults() []fault {
	return []fault{
		{"planned", planned},
		{"killed", killed},
		{"paused", paused},
		{"link cut, killed", cut},
		{"slow link, planned", slowly(planned)},
		{"slow link, killed", slowly(killed)},
	}
}

func awaitMoved(l *lab, t topology, old *server) error {
	return l.await("another server is master in the place of "+old.name, func() bool { return t.moved(old) })
}

// planned has the master replaced while it works.
func planned(l *lab, t topology, _ *caller) error {
	old := t.victim()
	if err := t.planned(old); err != nil {
		return err
	}
	return awaitMoved(l, t, old)
}

// killed ends the master as a power cut would. It starts again when another server is
// the master.
func killed(l *lab, t topology, _ *caller) error {
	old := t.victim()
	old.kill()
	if err := awaitMoved(l, t, old); err != nil {
		return err
	}
	return old.restart()
}

// paused stops the master until another server is the master. The old one then goes on,
// and does not know that it was replaced.
func paused(l *lab, t topology, _ *caller) error {
	old := t.victim()
	old.process.signal(syscall.SIGSTOP)
	err := awaitMoved(l, t, old)
	old.process.signal(syscall.SIGCONT)
	return err
}

// cut delivers nothing between the master and its replicas, lets clients go on until
// creations have been refused, and kills the master. No other server has what the
// master acknowledged in between.
func cut(l *lab, t topology, c *caller) error {
	old := t.victim()
	old.front.stop(serverSource)
	before, failedBefore := c.past.size(), c.past.refused()
	err := l.await("clients have gone on", func() bool {
		return c.past.size() > before+300 || c.past.refused() > failedBefore+clients
	})
	old.kill()
	old.front.resume()
	if err != nil {
		return err
	}
	if err := awaitMoved(l, t, old); err != nil {
		return err
	}
	return old.restart()
}

// slowly does the same while the servers have a slow link to each other.
func slowly(do func(*lab, topology, *caller) error) func(*lab, topology, *caller) error {
	return func(l *lab, t topology, c *caller) error {
		for _, s := range t.servers() {
			s.front.slow(linkDelay)
		}
		defer func() {
			for _, s := range t.servers() {
				s.front.slow(0)
			}
		}()
		if err := someMore(l, c); err != nil {
			return err
		}
		return do(l, t, c)
	}
}

// someMore waits until clients have got some messages acknowledged.
func someMore(l *lab, c *caller) error {
	enough := c.past.size() + 300
	return l.await("clients create messages", func() bool { return c.past.size() >= enough })
}
