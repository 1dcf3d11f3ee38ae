package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// What Redis acknowledged survives when Redis is killed while it writes, and the
// store finds Redis again by itself.
func TestRedisKilledAndRestarted(t *testing.T) {
	server := startRedis(t, redisSetup{})
	s := server.open()
	for range 2 {
		var mu sync.Mutex
		var acknowledged []message.Key
		enough := make(chan struct{})
		var writers sync.WaitGroup
		for range 16 {
			writers.Go(func() {
				for {
					key := randomKey()
					var err error
					timely(t, "Put", func() { err = s.Put(t.Context(), key, valueOf(key), nil, time.Hour) })
					if err != nil {
						wantError(t, "Put when Redis is killed", err, message.ErrUnavailable)
						return
					}
					mu.Lock()
					if acknowledged = append(acknowledged, key); len(acknowledged) == 300 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		server.kill()
		writers.Wait()
		wantUnavailable(t, s)
		server.start()
		eventually(t, "the store finds Redis again", func() error { return s.Ping(t.Context()) })
		for i, key := range acknowledged {
			if got, err := s.Get(t.Context(), key); err != nil || !bytes.Equal(got, valueOf(key)) {
				t.Fatalf("message %d of %d: got %d bytes and %v, want it whole", i, len(acknowledged), len(got), err)
			}
		}
		writeAndRead(t, s, 4, 10)
	}
}

// A restart leaves a pool full of connections that Redis has closed. None of
// them may cost a request, with TLS or without.
func TestRedisRestartCostsNoRequest(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]redisSetup{
		"plain": {},
		"TLS":   {authority: newAuthority(t)},
	} {
		t.Run(name, func(t *testing.T) {
			server := startRedis(t, setup)
			s := server.open()
			for range 3 {
				writeAndRead(t, s, 32, 20) // which takes many connections
				server.kill()
				server.start()
				writeAndRead(t, s, 32, 5)
			}
		})
	}
}

// wantUnavailable checks that a store refuses each kind of request, in time.
func wantUnavailable(t *testing.T, s messageStore) {
	t.Helper()
	var requests sync.WaitGroup
	for what, request := range map[string]func() error{
		"Put":  func() error { return s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour) },
		"Get":  func() error { _, err := s.Get(t.Context(), randomKey()); return err },
		"Ping": func() error { return s.Ping(t.Context()) },
	} {
		requests.Go(func() {
			timely(t, what, func() { wantError(t, what, request(), message.ErrUnavailable) })
		})
	}
	requests.Wait()
}

// When Redis does not answer, each request is refused in time, even when there are
// more requests than connections.
func TestRedisOutOfReach(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(*testing.T) string{
		"refuses":                   refusingAddress,
		"accepts and never answers": silentAddress,
		"drops every packet":        blackHole,
		"closes every connection":   closingAddress,
		"is something else":         otherServer,
	} {
		for kind, parameters := range map[string]string{
			"single": "", "Cluster": "?addr=ADDR", "Sentinel": "?master_name=here&username=messaging_api",
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				at := address(t)
				s := openRedis(t, "redis://"+at+strings.ReplaceAll(parameters, "ADDR", at), nil)
				wantUnavailable(t, s)
				var requests sync.WaitGroup
				for range 100 {
					requests.Go(func() { wantUnavailable(t, s) })
				}
				requests.Wait()
				timely(t, "Close", func() {
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			})
		}
	}
}

func refusingAddress(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }

func silentAddress(t *testing.T) string {
	return serve(t, func(net.Conn) {})
}

func closingAddress(t *testing.T) string {
	return serve(t, func(c net.Conn) { _ = c.Close() })
}

func otherServer(t *testing.T) string {
	return serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
		_ = c.Close()
	})
}

// serve calls handle for each connection; they are closed with the test.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			handle(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range open {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// blackHole is an address that never answers: a socket with a full queue of
// connections. Linux then drops the packets that open another one.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0),
	); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	eventually(t, "the queue is full", func() error {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if c == nil {
			t.Logf("the queue is full: %v", err)
			return nil
		}
		t.Cleanup(func() { _ = c.Close() })
		return errors.New("connected")
	})
	return address
}

// A Redis that hangs, as on a disk that hangs, counts as one that does not answer.
// The store finds it again when it goes on.
func TestRedisHangsAndGoesOn(t *testing.T) {
	t.Parallel()
	server := startRedis(t, redisSetup{})
	s := server.open()
	writeAndRead(t, s, 32, 5)
	if err := server.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var requests sync.WaitGroup
	for range 100 {
		requests.Go(func() { wantUnavailable(t, s) })
	}
	requests.Go(func() {
		timely(t, "Info", func() {
			_, err := s.Info(t.Context())
			wantError(t, "Info", err, message.ErrUnavailable)
		})
	})
	requests.Wait()
	if err := server.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store finds Redis again", func() error { return s.Ping(t.Context()) })
	writeAndRead(t, s, 4, 10)
}

// A full Redis is message.ErrFull, costs no message, and takes more when there
// is room.
func TestRedisFull(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) (*redisServer, *store.Redis){
		"single": func(t *testing.T) (*redisServer, *store.Redis) {
			server := startRedis(t, redisSetup{})
			return server, server.open()
		},
		"Cluster": func(t *testing.T) (*redisServer, *store.Redis) {
			cluster := startCluster(t, 1)
			return cluster[0], openRedis(t, clusterURL(cluster), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := open(t)
			if policy := fmt.Sprint(server.do("config", "get", "maxmemory-policy")); !strings.Contains(policy, "noeviction") {
				t.Errorf("the shipped configuration has %s, want noeviction", policy)
			}
			server.do("config", "set", "maxmemory", "8mb")
			var stored []message.Key
			for len(stored) < 1000 {
				key := randomKey()
				err := s.Put(t.Context(), key, make([]byte, 64<<10), nil, time.Hour)
				if err != nil {
					wantError(t, "Put where there is no room", err, message.ErrFull)
					break
				}
				stored = append(stored, key)
			}
			timely(t, "Put", func() {
				wantError(t, "one more", s.Put(t.Context(), randomKey(), make([]byte, 64<<10), nil, time.Hour), message.ErrFull)
			})
			for i, key := range stored {
				if got, err := s.Get(t.Context(), key); err != nil || len(got) != 64<<10 {
					t.Errorf("message %d of %d while Redis is full: got %d bytes and %v", i, len(stored), len(got), err)
				}
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("Ping while Redis is full: %v", err)
			}
			server.do("config", "set", "maxmemory", "64mb")
			mustPut(t, s, 64<<10)
		})
	}
}

func TestRedisWrongPassword(t *testing.T) {
	server := startRedis(t, redisSetup{})
	const wrong = "not the password"
	s, err := store.NewRedis(server.url(), store.RedisOptions{Password: wrong}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	wantUnavailable(t, s)
	err = s.Ping(t.Context())
	if text := err.Error(); !strings.Contains(text, "WRONGPASS") || strings.Contains(text, wrong) {
		t.Errorf("Ping: got %q, want it to say WRONGPASS and not the password", text)
	}
}

// With TLS on one side only, the error says so and which URL is right.
func TestRedisTLSOnOneSide(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	plain, secure := startRedis(t, redisSetup{}), startRedis(t, redisSetup{authority: ca})
	for name, s := range map[string]*store.Redis{
		"TLS here":  openRedis(t, strings.Replace(plain.url(), "redis:", "rediss:", 1), ca.clientConfig(t)),
		"TLS there": openRedis(t, strings.Replace(secure.url(), "rediss:", "redis:", 1), nil),
	} {
		eventually(t, name+": the error names rediss://", func() error { // a busy machine may be out of time
			err := s.Ping(t.Context())
			wantError(t, name, err, message.ErrUnavailable)
			if !strings.Contains(fmt.Sprint(err), "rediss://") {
				return err
			}
			return nil
		})
	}
}

// A Cluster that has moved its slots answers with where they are; a message is
// stored there all the same, and read from there.
func TestClusterMovesSlots(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t, 2)
	s := openRedis(t, clusterURL(cluster), nil)
	writeAndRead(t, s, 8, 20) // now the store knows which node has what
	for _, node := range cluster {
		node.do("flushall")
		node.do("cluster", "delslotsrange", 0, lastSlot)
	}
	for i, node := range cluster {
		eventually(t, "the slots change sides", func() error {
			return node.admin.ClusterAddSlotsRange(t.Context(), (1-i)*(lastSlot+1)/2, (2-i)*(lastSlot+1)/2-1).Err()
		})
	}
	awaitCluster(t, cluster)
	writeAndRead(t, s, 8, 20)
	moved := 0
	for _, node := range cluster {
		if strings.Contains(fmt.Sprint(node.do("info", "errorstats")), "errorstat_MOVED") {
			moved++
		}
	}
	if moved == 0 {
		t.Error("no node ever answered MOVED: the test has not tested it")
	}
}

// While a Cluster moves a slot, what has moved is read, and new messages are stored
// where the slot goes. If replicas have to confirm them, they are refused, because
// it is not known on which connection to wait.
func TestClusterWhileASlotMoves(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t, 2)
	from, to := cluster[0], cluster[1]
	s := openRedis(t, clusterURL(cluster), nil)
	keys := make([]message.Key, 2)
	var slot int64
	for i := range keys { // both in one slot of the first node
		for slot = -1; slot < 0 || slot > lastSlot/2; {
			keys[i] = randomKey()
			slot = from.do("cluster", "keyslot", "msg:"+keys[i].Hex()).(int64)
		}
		if err := s.Put(t.Context(), keys[i], keys[i][:], nil, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	moving := keys[1]
	to.do("cluster", "setslot", slot, "importing", from.do("cluster", "myid"))
	from.do("cluster", "setslot", slot, "migrating", to.do("cluster", "myid"))
	from.do("del", "msg:"+moving.Hex()) // as if it had moved and expired
	_, err := s.Get(t.Context(), moving)
	wantError(t, "Get of what is at neither", err, message.ErrNotFound)
	wantError(t, "Put that replicas confirm", openReplicated(t, clusterURL(cluster), 1).Put(t.Context(), moving, []byte("x"), nil, time.Hour), message.ErrUnavailable)
	if err := s.Put(t.Context(), moving, moving[:], nil, time.Hour); err != nil {
		t.Errorf("Put: %v", err)
	}
	for i, key := range keys {
		if got, err := s.Get(t.Context(), key); err != nil || !bytes.Equal(got, key[:]) {
			t.Errorf("message %d: got %x and %v", i, got, err)
		}
	}
}

// A Sentinel that promotes a replica takes the store with it.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	master := startRedis(t, redisSetup{})
	replica := startRedis(t, redisSetup{args: []string{
		"--replicaof", fmt.Sprintf("127.0.0.1 %d", master.port), "--masteruser", "admin", "--masterauth", "admin",
	}})
	s := openRedis(t, startSentinel(t, master), nil)
	key := mustPut(t, s, 100)
	eventually(t, "the replica has the message", func() error {
		return replica.admin.Get(t.Context(), "msg:"+key.Hex()).Err()
	})
	master.kill()
	wantUnavailable(t, s)
	eventually(t, "the store finds the new master", func() error {
		var err error
		timely(t, "Put", func() { err = s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour) })
		return err
	})
	if got, err := s.Get(t.Context(), key); err != nil || len(got) != 100 {
		t.Errorf("Get: got %d bytes and %v, want what the old master had", len(got), err)
	}
}

// Errors and go-redis's own log hold no passwords, keys or values.
func TestRedisTellsNoSecrets(t *testing.T) {
	server := startRedis(t, redisSetup{args: []string{"--rename-command", "SET", "", "--rename-command", "GET", ""}})
	var log lockedBuffer
	s, err := store.NewRedis(server.url(), store.RedisOptions{Password: redisPassword}, slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	key, value := randomKey(), []byte("the value")
	putErr := s.Put(t.Context(), key, value, nil, time.Hour)
	_, getErr := s.Get(t.Context(), key)
	server.kill()
	pingErr := s.Ping(t.Context())
	for what, err := range map[string]error{"Put": putErr, "Get": getErr, "Ping": pingErr} {
		wantError(t, what, err, message.ErrUnavailable)
		for _, secret := range []string{redisPassword, key.Hex(), string(value)} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows %q: %v", what, secret, err)
			}
		}
	}
	if !strings.Contains(putErr.Error(), "unknown command") {
		t.Errorf("Put of a command that Redis does not know: got %v, want it to say so", putErr)
	}
	switch text := log.String(); {
	case !strings.Contains(text, `"event":"redis"`):
		t.Errorf("go-redis's log did not arrive: %q", text)
	case strings.Contains(text, redisPassword), strings.Contains(text, key.Hex()):
		t.Errorf("the log shows a secret: %s", text)
	}
}

// A lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
