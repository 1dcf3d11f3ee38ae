package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// replicaArgs let a server follow another one, without the shipped delay.
var replicaArgs = []string{"--masteruser", "admin", "--masterauth", "admin", "--repl-diskless-sync-delay", "0"}

// startReplica starts a replica of a server, or one without a master if that is nil.
func startReplica(t testing.TB, master *redisServer) *redisServer {
	t.Helper()
	args := slices.Clone(replicaArgs)
	if master != nil {
		args = append(args, "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.port))
	}
	return startRedis(t, redisSetup{args: args})
}

// follow makes a server the replica of another one.
func (s *redisServer) follow(master *redisServer) {
	s.t.Helper()
	s.do("replicaof", "127.0.0.1", master.port)
}

// promote makes a replica a master.
func (s *redisServer) promote() {
	s.t.Helper()
	s.do("replicaof", "no", "one")
}

// awaitReplicas waits until a master has this number of replicas with its data.
func (s *redisServer) awaitReplicas(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprint(n, " replicas"), func() error {
		info := fmt.Sprint(s.do("info", "replication"))
		if got := strings.Count(info, "state=online"); got != n {
			return errors.New(info)
		}
		return nil
	})
}

func (s *redisServer) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// openReplicated returns a store with writes that this number of replicas confirms.
func openReplicated(t testing.TB, url string, replicas int) *store.Redis {
	t.Helper()
	r, err := store.NewRedis(url, store.RedisOptions{Password: redisPassword, Replicas: replicas}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// acknowledged returns the key of a message that the store has confirmed. On a busy
// machine replicas may be late.
func acknowledged(t *testing.T, s messageStore) (key message.Key) {
	t.Helper()
	eventually(t, "a Put is confirmed", func() error {
		key = randomKey()
		return s.Put(t.Context(), key, key[:], nil, time.Hour)
	})
	return key
}

// readAcknowledged has many clients write and read at once.
func readAcknowledged(t *testing.T, s messageStore) {
	t.Helper()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 4 {
				key := acknowledged(t, s)
				eventually(t, "Get", func() error { return mustNotBeAbsent(t, s, key) })
			}
		})
	}
	all.Wait()
}

// mustNotBeAbsent gets a message that was confirmed. It returns an error if the message
// cannot be read now, and fails the test if the store reports that it does not exist.
func mustNotBeAbsent(t *testing.T, s messageStore, key message.Key) error {
	t.Helper()
	_, err := s.Get(t.Context(), key)
	if errors.Is(err, message.ErrNotFound) {
		t.Errorf("a message that was acknowledged is not found")
		return nil
	}
	return err
}

// A write is answered when the replicas have it. One that too few have in time is
// refused, and the next one at once; when they are back, writes go on.
func TestRedisReplicasConfirmWrites(t *testing.T) {
	t.Parallel()
	master := startReplica(t, nil)
	replicas := []*redisServer{startReplica(t, master), startReplica(t, master)}
	master.awaitReplicas(2)
	s := openReplicated(t, master.url(), 2)
	readAcknowledged(t, s)
	for range 20 {
		key := acknowledged(t, s)
		for _, replica := range replicas {
			if err := replica.admin.Get(t.Context(), "msg:"+key.Hex()).Err(); err != nil {
				t.Fatalf("a replica does not have what was acknowledged: %v", err)
			}
		}
	}
	key, limited := acknowledged(t, s), randomKey()
	if err := s.Put(t.Context(), limited, []byte("old"), []byte("text"), time.Hour); err != nil && !errors.Is(err, message.ErrUnavailable) {
		t.Fatal(err)
	}

	replicas[0].signal(syscall.SIGSTOP)
	for what, write := range map[string]func() error{
		"Put":        func() error { return s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour) },
		"Put of two": func() error { return s.Put(t.Context(), randomKey(), []byte("x"), []byte("y"), time.Hour) },
		"second Put": func() error { return s.Put(t.Context(), key, []byte("x"), nil, time.Hour) },
		"Swap": func() error {
			_, err := s.Swap(t.Context(), limited, []byte("old"), []byte("new"), message.KeepText)
			return err
		},
		"Swap of something else": func() error {
			_, err := s.Swap(t.Context(), limited, []byte("other"), []byte("new"), message.KeepText)
			return err
		},
	} {
		timely(t, what, func() {
			err := write()
			wantError(t, what+" with one of two replicas", err, message.ErrUnavailable)
			if !strings.Contains(fmt.Sprint(err), "--redis-replicas") {
				t.Errorf("%s: got %v, want it to name the replicas", what, err)
			}
		})
	}
	if got, err := s.Get(t.Context(), key); err != nil || len(got) != len(key) {
		t.Errorf("Get with one of two replicas: got %d bytes and %v", len(got), err)
	}
	replicas[0].signal(syscall.SIGCONT)
	eventually(t, "writes go on", func() error {
		return s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour)
	})
}

// While replicas are missing, few writes wait for them: the others are refused
// before they are sent.
func TestRedisTooFewReplicasRefuseAtOnce(t *testing.T) {
	t.Parallel()
	master := startReplica(t, nil)
	s := openReplicated(t, master.url(), 1)
	refused := func() {
		t.Helper()
		wantError(t, "Put without a replica", s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour), message.ErrUnavailable)
	}
	start := time.Now()
	refused()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				refused()
			}
		})
	}
	all.Wait()
	sent := fmt.Sprint(master.do("info", "commandstats"))
	_, sent, _ = strings.Cut(sent, "cmdstat_set:calls=")
	var sets int
	if _, err := fmt.Sscanf(sent, "%d,", &sets); err != nil {
		t.Fatal(err)
	}
	// One is tried in half a second, and those that came before its outcome.
	if most := 2 + int(time.Since(start)/(500*time.Millisecond)); sets > most {
		t.Errorf("%d of 801 writes were sent in %v, want at most %d", sets, time.Since(start), most)
	}
	startReplica(t, master)
	eventually(t, "writes go on", func() error {
		return s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour)
	})
}

// A repeated claim depends on an opening that may be on the master only, and a second
// taking back on the first one: each waits for the replicas as the first did.
func TestRepetitionsWaitForReplicas(t *testing.T) {
	t.Parallel()
	master := startReplica(t, nil)
	replica := startReplica(t, master)
	master.awaitReplicas(1)
	s := openReplicated(t, master.url(), 1)
	box := message.NewBox(s)
	unconfirmed := openReplicated(t, master.url(), 0)
	opened, withdrawn := createLimited(t, unconfirmed, 2), createLimited(t, unconfirmed, 2)
	open := func() error {
		_, err := box.Open(t.Context(), opened.ID.Reveal(), message.Opening{Claim: "A"}, time.Now())
		return err
	}
	withdraw := func() error {
		_, err := box.Withdraw(t.Context(), withdrawn.ID.Reveal(), withdrawn.Owner.Reveal(), time.Now())
		return err
	}
	replica.signal(syscall.SIGSTOP)
	for what, f := range map[string]func() error{"an opening": open, "taking back": withdraw} {
		eventually(t, what+" takes place on the master", func() error { // not where it is refused at once
			err := f()
			wantError(t, what+" without the replica", err, message.ErrUnavailable)
			if state, err := box.Read(t.Context(), opened.ID.Reveal(), time.Now()); what == "an opening" && (err != nil || state.Left != 1) {
				return fmt.Errorf("%d reads left, %w", state.Left, err)
			}
			var gone *message.GoneError
			if _, err := box.Read(t.Context(), withdrawn.ID.Reveal(), time.Now()); what == "taking back" && !errors.As(err, &gone) {
				return fmt.Errorf("got %w, want a GoneError", err)
			}
			return nil
		})
		for range 3 {
			wantError(t, what+" again without the replica", f(), message.ErrUnavailable)
		}
	}
	replica.signal(syscall.SIGCONT)
	eventually(t, "both are confirmed", func() error { return errors.Join(open(), withdraw()) })
	replica.promote()
	after := message.NewBox(openReplicated(t, replica.url(), 0))
	if m, err := after.Open(t.Context(), opened.ID.Reveal(), message.Opening{Claim: "A"}, time.Now()); err != nil || m.Left != 1 || !m.Repeat {
		t.Errorf("claim A at the replica: %+v, %v, want a repetition", m, err)
	}
	var gone *message.GoneError
	if _, err := after.Read(t.Context(), withdrawn.ID.Reveal(), time.Now()); !errors.As(err, &gone) {
		t.Errorf("the message that was taken back, at the replica: %v, want a GoneError", err)
	}
}

// A master that was made a replica is no longer believed, neither its hits nor its
// misses, also on connections that were made before.
func TestOnlyAMasterIsBelieved(t *testing.T) {
	t.Parallel()
	master := startReplica(t, nil)
	s := openReplicated(t, master.url(), 0)
	writeAndRead(t, s, 16, 4) // which makes several connections
	key := mustPut(t, s, 10)
	other := startReplica(t, nil)
	master.follow(other)
	for range 20 {
		for what, k := range map[string]message.Key{"a message": key, "nothing": randomKey()} {
			_, err := s.Get(t.Context(), k)
			wantError(t, "Get of "+what+" from a replica", err, message.ErrUnavailable)
		}
		wantError(t, "Put to a replica", s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour), message.ErrUnavailable)
		_, err := s.Swap(t.Context(), key, []byte("x"), []byte("x"), message.KeepText)
		wantError(t, "Swap at a replica", err, message.ErrUnavailable)
		wantError(t, "Ping of a replica", s.Ping(t.Context()), message.ErrUnavailable)
	}
	master.promote()
	eventually(t, "it is believed again", func() error { return s.Ping(t.Context()) })
	_, err := s.Get(t.Context(), randomKey())
	wantError(t, "Get of nothing from a master", err, message.ErrNotFound)
}

// A movingAddress is an address that leads to one server and later to another one.
// Connections that are open stay where they are.
type movingAddress struct {
	mu sync.Mutex
	to string // guarded by mu
}

func startMovingAddress(t *testing.T, to *redisServer) (m *movingAddress, url string) {
	t.Helper()
	m = &movingAddress{to: to.addr()}
	at := serve(t, func(client net.Conn) {
		m.mu.Lock()
		server, err := net.Dial("tcp", m.to)
		m.mu.Unlock()
		if err != nil {
			_ = client.Close()
			return
		}
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
	})
	return m, "redis://" + redisUser + "@" + at
}

func (m *movingAddress) move(to *redisServer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to = to.addr()
}

// If an address moves, no stored message is reported as missing because a connection
// still leads to the old master. The store finds the new one by itself.
func TestRedisAddressMoves(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{0, 1} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			t.Parallel()
			servers := []*redisServer{startReplica(t, nil), nil}
			servers[1] = startReplica(t, servers[0])
			servers[0].awaitReplicas(1)
			address, url := startMovingAddress(t, servers[0])
			reader, writer := openReplicated(t, url, replicas), openReplicated(t, url, replicas)
			ctx, stop := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			defer readers.Wait()
			defer stop()
			for range 8 { // so that many connections stay in use
				readers.Go(func() {
					for ctx.Err() == nil {
						if _, err := reader.Get(ctx, randomKey()); !errors.Is(err, message.ErrNotFound) && !errors.Is(err, message.ErrUnavailable) {
							t.Errorf("Get of nothing: %v", err)
						}
					}
				})
			}
			read := 0
			for round := range 3 {
				for range 100 {
					key := randomKey()
					if writer.Put(t.Context(), key, []byte("x"), nil, time.Hour) != nil {
						continue
					}
					if _, err := reader.Get(t.Context(), key); errors.Is(err, message.ErrNotFound) {
						t.Fatalf("round %d: a message that was acknowledged is not found", round)
					}
					read++
				}
				oldMaster, newMaster := servers[round%2], servers[(round+1)%2]
				address.move(newMaster)
				newMaster.promote()
				oldMaster.follow(newMaster)
				for _, s := range []*store.Redis{reader, writer} {
					eventually(t, "the store finds the new master", func() error {
						key := randomKey()
						if err := s.Put(t.Context(), key, []byte("x"), nil, time.Hour); err != nil {
							return err
						}
						_, err := s.Get(t.Context(), key)
						return err
					})
				}
			}
			if read == 0 {
				t.Error("no message was read")
			}
		})
	}
}

// A master that was paused while its replica was promoted still acts as the master when
// it goes on. If replicas confirm writes, its misses are not believed, and nothing that it
// stores is acknowledged.
func TestMasterThatComesBackIsNotBelieved(t *testing.T) {
	t.Parallel()
	for round := range 3 {
		master := startReplica(t, nil)
		replica := startReplica(t, master)
		master.awaitReplicas(1)
		s := openReplicated(t, master.url(), 1)
		readAcknowledged(t, s)
		master.signal(syscall.SIGSTOP)
		replica.promote()
		later := acknowledged(t, openReplicated(t, replica.url(), 0))
		master.signal(syscall.SIGCONT)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				_, err := s.Get(t.Context(), later)
				wantError(t, fmt.Sprintf("round %d: Get", round), err, message.ErrUnavailable)
				wantError(t, fmt.Sprintf("round %d: Put", round), s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour), message.ErrUnavailable)
			})
		}
		all.Wait()
	}
}

// startReplicatedCluster starts a Cluster of so many masters, and a replica of each behind
// them.
func startReplicatedCluster(t *testing.T, masters int) (nodes []*redisServer) {
	t.Helper()
	node := func() *redisServer {
		return startRedis(t, redisSetup{grant: clusterGrant, args: append([]string{
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000",
		}, replicaArgs...)})
	}
	for i := range 2 * masters {
		nodes = append(nodes, node())
		if i > 0 {
			nodes[i].do("cluster", "set-config-epoch", i+1)
			nodes[i].do("cluster", "meet", "127.0.0.1", nodes[0].port)
		}
		if i < masters {
			nodes[i].do("cluster", "addslotsrange", i*(lastSlot+1)/masters, (i+1)*(lastSlot+1)/masters-1)
		}
	}
	awaitCluster(t, nodes)
	for i := range masters {
		id := nodes[i].do("cluster", "myid")
		eventually(t, "a node becomes a replica", func() error {
			return nodes[masters+i].admin.Do(t.Context(), "cluster", "replicate", id).Err()
		})
		nodes[i].awaitReplicas(1)
	}
	return nodes
}

// What a replica of a Cluster's master confirmed survives its promotion.
func TestClusterFailsOver(t *testing.T) {
	t.Parallel()
	const masters = 3
	nodes := startReplicatedCluster(t, masters)
	s := openReplicated(t, clusterURL(nodes), 1)
	readAcknowledged(t, s)
	for _, promoted := range nodes[masters : masters+2] {
		var keys []message.Key
		for len(keys) < 100 {
			keys = append(keys, acknowledged(t, s))
		}
		var asked time.Time
		eventually(t, "the replica is the master", func() error {
			if time.Since(asked) > 6*time.Second { // Redis gives up after five
				asked = time.Now()
				promoted.do("cluster", "failover")
			}
			if role := fmt.Sprint(promoted.do("role")); !strings.HasPrefix(role, "[master") {
				return errors.New(role)
			}
			return nil
		})
		for _, key := range keys {
			eventually(t, "Get", func() error { return mustNotBeAbsent(t, s, key) })
		}
		readAcknowledged(t, s)
	}
}

// The slots of a Cluster's dead master are found at its successor, though nobody answers
// MOVED.
func TestClusterMasterDies(t *testing.T) {
	t.Parallel()
	const masters = 3
	nodes := startReplicatedCluster(t, masters)
	s := openReplicated(t, clusterURL(nodes), 1)
	key := acknowledged(t, s)
	for nodes[0].do("cluster", "keyslot", "msg:"+key.Hex()).(int64) > lastSlot/masters {
		key = acknowledged(t, s) // until it is the first master's
	}
	nodes[0].kill()
	read := func() error { _, err := s.Get(t.Context(), key); return err }
	successor := nodes[masters]
	eventually(t, "the replica is the master", func() error {
		_ = read() // so that the store meets the failure before
		if info := fmt.Sprint(successor.do("role"), successor.do("cluster", "info")); !strings.HasPrefix(info, "[master") || !strings.Contains(info, "cluster_state:ok") {
			return errors.New(info)
		}
		return nil
	})
	promoted := time.Now()
	eventually(t, "Get", read)
	if took := time.Since(promoted); took > 20*time.Second { // go-redis asks once a minute
		t.Errorf("the message is read %v after its server has a successor, want a few seconds", took)
	}
}

// No Sentinel that hangs fails a request while connections to the master are made again,
// whether it was asked before or not.
func TestSentinelHangs(t *testing.T) {
	t.Parallel()
	master := startRedis(t, redisSetup{})
	sentinels, url := startSentinels(t, master, 3)
	warm := openReplicated(t, url, 0)
	key := mustPut(t, warm, 10)
	for i, sentinel := range sentinels {
		if err := sentinel.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*store.Redis{warm, openReplicated(t, url, 0)} {
			for range 5 {
				master.do("client", "kill", "type", "normal", "skipme", "yes")
				if _, err := s.Get(t.Context(), key); err != nil {
					t.Errorf("Get while Sentinel %d hangs: %v", i, err)
				}
			}
		}
		if err := sentinel.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}
