package main

import (
	"errors"
	"strings"
	"syscall"
)

// A single is one Redis without replicas.
type single struct {
	setUp
}

// otherKeys is how much else is stored, so that loading and rewriting take a while.
const otherKeys = 1_500_000

// startSingle starts a Redis with a large data set.
func startSingle(l *lab) (topology, error) {
	s, err := l.newServer("single", 1, "", "--min-replicas-to-write", "0", "--enable-debug-command", "yes", "--maxmemory", "0")
	if err != nil {
		return nil, err
	}
	t := &single{setUp{lab: l, nodes: []*server{s}}}
	if err := s.start(); err != nil {
		return nil, err
	}
	// The log does not have these keys until it is rewritten.
	err = errors.Join(l.command(s, "debug", "populate", otherKeys, "other", 40), s.do("bgrewriteaof"))
	if err != nil {
		return nil, err
	}
	return t, l.await("the log is rewritten", s.rewritten)
}

// command runs a command that may take longer than others.
func (l *lab) command(s *server, args ...any) error {
	slow := s.admin.WithTimeout(patience)
	return slow.Do(l.ctx, args...).Err()
}

func (s *server) rewritten() bool { return s.info("persistence", "aof_rewrite_in_progress") == "0" }

func (t *single) name() string { return "single" }

func (t *single) storeURL() string { return "redis://messaging_api@" + t.nodes[0].front.address }

func (t *single) replicas() int { return 0 }

func (t *single) victim() *server { return t.nodes[0] }

func (t *single) planned(*server) error { return nil }

func (t *single) moved(*server) bool { return true }

func (t *single) writable() bool { return t.nodes[0].takesWrites(0) }

// slowness are the faults that make one Redis slow.
func slowness() []fault {
	return []fault{
		{"loading", loading},
		{"log rewritten, killed", rewriting},
		{"stands still", standing},
	}
}

// loading kills Redis. While it loads it answers every command with an error.
func loading(l *lab, t topology, c *caller) error {
	s := t.victim()
	s.kill()
	var err error
	if s.process, err = s.lab.launch(s.dir+"/output", "redis-server", s.args...); err != nil {
		return err
	}
	if err := s.front.up(); err != nil {
		return err
	}
	before := c.past.refused()
	return errors.Join(
		l.await("Redis loads", func() bool {
			err := s.admin.Get(l.ctx, "x").Err()
			return err != nil && strings.HasPrefix(err.Error(), "LOADING")
		}),
		l.await("creations are refused meanwhile", func() bool { return c.past.refused() > before }),
	)
}

// rewriting lets clients go on while Redis rewrites its log, and kills it in the middle.
func rewriting(l *lab, t topology, c *caller) error {
	s := t.victim()
	if err := s.do("bgrewriteaof"); err != nil {
		return err
	}
	enough := c.past.size() + 50
	if err := l.await("clients go on", func() bool { return c.past.size() >= enough || s.rewritten() }); err != nil {
		return err
	}
	s.kill()
	return s.restart()
}

// standing stops Redis, as a disk that hangs does, until the service has answered without
// it.
func standing(l *lab, t topology, c *caller) error {
	s := t.victim()
	s.process.signal(syscall.SIGSTOP)
	before := c.past.refused()
	err := l.await("creations are refused", func() bool { return c.past.refused() > before+clients })
	s.process.signal(syscall.SIGCONT)
	return err
}
