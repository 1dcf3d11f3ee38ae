package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A topology is a set of Redis servers that fail over.
type topology interface {
	name() string
	storeURL() string
	replicas() int // that confirm an acknowledged write
	servers() []*server
	victim() *server        // the master that the next fault is about
	planned(*server) error  // asks for the master to be replaced, which may take a moment
	moved(old *server) bool // another server is master in its place
	writable() bool         // all masters take writes, confirmed by the replicas
}

// setUp is what topologies have in common.
type setUp struct {
	lab   *lab
	nodes []*server
}

func (s *setUp) servers() []*server { return s.nodes }

// A sentinels is one primary with two replicas, and three Sentinels.
type sentinels struct {
	setUp
	addresses []string
	watch     []*redis.SentinelClient
}

// masterName is what deploy/redis/sentinel.conf calls the servers.
const masterName = "messages"

// startSentinels starts the servers and the Sentinels, and waits until each of these
// knows all others.
func startSentinels(l *lab, confirm bool) (topology, error) {
	t := &sentinels{setUp: setUp{lab: l}}
	for i := range 3 {
		args := []string{"--min-replicas-to-write", minReplicas(confirm, "2")}
		if i > 0 {
			args = append(args, replicaOf(t.nodes[0])...)
		}
		s, err := l.newServer("sentinel-redis", i+1, "", args...)
		if err != nil {
			return nil, err
		}
		t.nodes = append(t.nodes, s)
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	if err := l.await("the replicas follow", t.writableBy(t.nodes[0])); err != nil {
		return nil, err
	}
	for i := range 3 {
		if err := t.startSentinel(i + 1); err != nil {
			return nil, err
		}
	}
	return t, l.await("the Sentinels know each other", func() bool {
		for _, sentinel := range t.watch {
			if sentinel.CkQuorum(l.ctx, masterName).Err() != nil {
				return false
			}
			state, err := sentinel.Master(l.ctx, masterName).Result()
			if err != nil || state["num-slaves"] != "2" || state["num-other-sentinels"] != "2" {
				return false
			}
		}
		return true
	})
}

// replicaOf are a server's arguments that make it follow another one.
func replicaOf(master *server) []string {
	host, port, _ := net.SplitHostPort(master.front.address)
	return []string{"--replicaof", host + " " + port}
}

// startSentinel starts one with the shipped configuration, and with shorter times: a
// round has to be over in seconds.
func (t *sentinels) startSentinel(i int) error {
	dir := filepath.Join(t.lab.dir, fmt.Sprintf("sentinel-%d", i))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	port, err := freePort(t.lab.ctx)
	if err != nil {
		return err
	}
	users, config := filepath.Join(dir, "sentinel.acl"), filepath.Join(dir, "sentinel.conf")
	err = t.lab.fill(users, []string{"sentinel.acl"}, "user admin on >"+adminPassword+" ~* &* +@all\n",
		"@SENTINEL_SHA256@", hash(sentinelPassword))
	if err != nil {
		return err
	}
	host, primary, _ := net.SplitHostPort(t.nodes[0].front.address)
	err = t.lab.fill(config, []string{"sentinel.conf"},
		fmt.Sprintf("bind 127.0.0.1\nbind-source-addr %s%d\nsentinel announce-ip 127.0.0.1\ndir %s\n", sentinelSource, i, dir),
		"@PRIMARY@ 6379", host+" "+primary, "@SENTINEL_PASSWORD@", sentinelPassword,
		"port 26379", "port "+port, "/run/secrets/sentinel.acl", users,
		"down-after-milliseconds messages 5000", "down-after-milliseconds messages 1500",
		"failover-timeout messages 30000", "failover-timeout messages 6000")
	if err != nil {
		return err
	}
	if _, err := t.lab.launch(filepath.Join(dir, "output"), "redis-server", config, "--sentinel"); err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", port)
	admin := redis.NewSentinelClient(&redis.Options{
		Addr: address, Username: "admin", Password: adminPassword, Protocol: 2, DisableIdentity: true,
	})
	t.addresses, t.watch = append(t.addresses, address), append(t.watch, admin)
	// What a Sentinel does every ten and every two seconds it does more often here.
	raw := redis.NewClient(&redis.Options{Addr: address, Username: "admin", Password: adminPassword, Protocol: 2, DisableIdentity: true})
	defer raw.Close() //nolint:errcheck // one command
	return t.lab.await("a Sentinel answers", func() bool {
		return raw.Do(t.lab.ctx, "sentinel", "debug", "info-period", "500", "publish-period", "500").Err() == nil
	})
}

func (t *sentinels) name() string { return "sentinel" }

func (t *sentinels) replicas() int { return 2 }

func (t *sentinels) storeURL() string {
	return fmt.Sprintf("redis://%s?master_name=%s&username=messaging_api&addr=%s", t.addresses[0], masterName, strings.Join(t.addresses[1:], "&addr="))
}

// victim is the server that most Sentinels take for the master.
func (t *sentinels) victim() *server {
	votes := make(map[string]int)
	for _, sentinel := range t.watch {
		if address, err := sentinel.GetMasterAddrByName(t.lab.ctx, masterName).Result(); err == nil && len(address) == 2 {
			votes[net.JoinHostPort(address[0], address[1])]++
		}
	}
	for _, s := range t.nodes {
		if votes[s.front.address] > len(t.watch)/2 {
			return s
		}
	}
	return nil
}

func (t *sentinels) planned(*server) error {
	// It is refused while an earlier failover is not over everywhere.
	return t.lab.await("a Sentinel starts a failover", func() bool {
		return t.watch[0].Failover(t.lab.ctx, masterName).Err() == nil
	})
}

func (t *sentinels) moved(old *server) bool {
	master := t.victim()
	return master != nil && master != old && master.isMaster()
}

func (t *sentinels) writable() bool {
	master := t.victim()
	return master != nil && t.writableBy(master)()
}

func (t *sentinels) writableBy(master *server) func() bool {
	return func() bool { return master.takesWrites(t.replicas()) }
}
