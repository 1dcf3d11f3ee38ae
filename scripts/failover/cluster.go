package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// lastSlot is the last of a Cluster's hash slots.
const lastSlot = 16383

// A cluster is three masters with a replica each.
type cluster struct {
	setUp
	turn int
}

// startCluster starts the servers, makes them a Cluster and waits until it is whole.
func startCluster(l *lab, confirm bool) (topology, error) {
	t := &cluster{setUp: setUp{lab: l}}
	for i := range 6 {
		s, err := l.newServer("cluster", i+1, " +cluster|slots", "--cluster-enabled", "yes", "--cluster-node-timeout", "1500",
			"--min-replicas-to-write", minReplicas(confirm, "1"))
		if err != nil {
			return nil, err
		}
		_, announced, _ := net.SplitHostPort(s.front.address)
		s.args = append(s.args, "--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", announced, "--cluster-announce-bus-port", s.bus())
		t.nodes = append(t.nodes, s)
		if err := s.start(); err != nil {
			return nil, err
		}
		if err := t.join(i); err != nil {
			return nil, err
		}
	}
	for i := range 3 {
		if err := t.pairUp(t.nodes[i], t.nodes[i+3]); err != nil {
			return nil, err
		}
	}
	return t, l.await("the Cluster is whole", t.writable)
}

// join makes the i-th server a node that knows the first one. Each of the first three
// has a third of the slots.
func (t *cluster) join(i int) error {
	s := t.nodes[i]
	err := s.do("cluster", "set-config-epoch", i+1)
	if i < 3 {
		err = errors.Join(err, s.do("cluster", "addslotsrange", i*(lastSlot+1)/3, (i+1)*(lastSlot+1)/3-1))
	}
	if i > 0 {
		host, port, _ := net.SplitHostPort(t.nodes[0].front.address)
		err = errors.Join(err, s.do("cluster", "meet", host, port, t.nodes[0].bus()))
	}
	return err
}

// pairUp makes one server the replica of another, as soon as it knows it.
func (t *cluster) pairUp(master, replica *server) error {
	id, err := master.admin.Do(t.lab.ctx, "cluster", "myid").Text()
	if err != nil {
		return err
	}
	return t.lab.await(replica.name+" follows", func() bool { return replica.do("cluster", "replicate", id) == nil })
}

// bus is the port of the Cluster's own messages.
func (s *server) bus() string {
	var port int
	_, text, _ := net.SplitHostPort(s.address)
	_, _ = fmt.Sscan(text, &port)
	return fmt.Sprint(port + 10000)
}

func (t *cluster) name() string { return "cluster" }

func (t *cluster) replicas() int { return 1 }

func (t *cluster) storeURL() string {
	var addresses []string
	for _, s := range t.nodes {
		addresses = append(addresses, s.front.address)
	}
	return "redis://messaging_api@" + addresses[0] + "?addr=" + strings.Join(addresses[1:], "&addr=")
}

// pair returns the server that takes turns with this one as master of the same slots.
func (t *cluster) pair(s *server) *server {
	for i, other := range t.nodes {
		if other == s {
			return t.nodes[(i+3)%6]
		}
	}
	return nil
}

// victim is one master after the other.
func (t *cluster) victim() *server {
	t.turn++
	s := t.nodes[t.turn%3]
	if !s.isMaster() {
		s = t.pair(s)
	}
	return s
}

func (t *cluster) planned(s *server) error { return t.pair(s).do("cluster", "failover") }

func (t *cluster) moved(old *server) bool { return t.pair(old).isMaster() }

func (t *cluster) writable() bool {
	for i := range 3 {
		a, b := t.nodes[i], t.nodes[i+3]
		if a.isMaster() == b.isMaster() || !a.whole() || !b.whole() {
			return false
		}
		if !a.takesWrites(t.replicas()) && !b.takesWrites(t.replicas()) {
			return false
		}
	}
	return true
}

// whole reports whether the server takes the Cluster for complete.
func (s *server) whole() bool {
	text, err := s.admin.ClusterInfo(context.WithoutCancel(s.lab.ctx)).Result()
	return err == nil && strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:6")
}
