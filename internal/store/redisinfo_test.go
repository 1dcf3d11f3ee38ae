package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// nearlyFull is the share at which the shipped alert speaks.
const nearlyFull = 0.85

// With the shipped user's rights a store tells how full Redis is, from empty to
// where it refuses. One without a limit is never full.
func TestRedisSpace(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) (*redisServer, *store.Redis){
		"single": func(t *testing.T) (*redisServer, *store.Redis) {
			server := startRedis(t, redisSetup{})
			return server, server.open()
		},
		"Sentinel": func(t *testing.T) (*redisServer, *store.Redis) {
			master := startRedis(t, redisSetup{})
			return master, openRedis(t, startSentinel(t, master), nil)
		},
		// The fullest one's figures, and not those of the other, which is larger, or
		// a sum: the share of messages that belongs to the full one is refused.
		"Cluster": func(t *testing.T) (*redisServer, *store.Redis) {
			cluster := startCluster(t, 2)
			return cluster[0], openRedis(t, clusterURL(cluster), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, s := open(t)
			const shipped = 640 << 20
			if used, limit := space(t, s); limit != shipped || used < 100_000 || used > shipped/4 {
				t.Errorf("an empty store: got %d of %d bytes, want a little of %d", used, limit, shipped)
			}
			const small = 8 << 20
			server.do("config", "set", "maxmemory", small)
			before, limit := space(t, s)
			if limit != small || float64(before) > nearlyFull*small {
				t.Errorf("an empty store that is small: got %d of %d bytes, want less than %v of %d", before, limit, nearlyFull, small)
			}
			stored, refused := 0, false
			for i := 0; i < 1000 && !refused; i++ {
				err := s.Put(t.Context(), randomKey(), make([]byte, 64<<10), nil, time.Hour)
				if refused = err != nil; refused {
					wantError(t, "Put where there is no room", err, message.ErrFull)
					break
				}
				stored++
			}
			after, limit := space(t, s)
			if !refused || limit != small || float64(after) < nearlyFull*small || after > small+small/4 {
				t.Errorf("a store that refuses, after %d messages: got %d of %d bytes, want about all", stored, after, limit)
			}
			server.do("config", "set", "maxmemory", 0)
			if name == "Cluster" {
				return // the other one's limit counts then
			}
			if used, limit := space(t, s); limit != 0 || used < small/2 {
				t.Errorf("without a limit: got %d of %d bytes, want those there are, of 0", used, limit)
			}
		})
	}
}

// A master that is down does not hide that another is full.
func TestRedisSpaceOfAClusterInPart(t *testing.T) {
	cluster := startCluster(t, 3)
	s := openRedis(t, clusterURL(cluster), nil)
	const small = 8 << 20
	cluster[0].do("config", "set", "maxmemory", small)
	if _, limit := space(t, s); limit != small {
		t.Fatalf("all there: got a limit of %d bytes, want %d", limit, small)
	}
	cluster[1].kill()
	if _, limit := space(t, s); limit != small {
		t.Errorf("one down: got a limit of %d bytes, want %d", limit, small)
	}
}

// space returns what a store says.
func space(t *testing.T, s *store.Redis) (used, limit uint64) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatalf("Info: %v", err)
	}
	if len(info.Risks) > 0 {
		t.Errorf("the shipped configuration is a risk: %q", info.Risks)
	}
	return info.Used, info.Limit
}

// A server that may lose messages says so, and so does one of a Cluster.
func TestRedisRisks(t *testing.T) {
	server := startRedis(t, redisSetup{args: []string{"--appendonly", "no"}})
	server.do("config", "set", "maxmemory-policy", "allkeys-lru")
	cluster := startCluster(t, 2)
	for _, node := range cluster {
		node.do("config", "set", "maxmemory-policy", "volatile-ttl")
	}
	for name, test := range map[string]struct {
		store *store.Redis
		want  []string
	}{
		"single":  {server.open(), []string{"append-only", "allkeys-lru"}},
		"Cluster": {openRedis(t, clusterURL(cluster), nil), []string{"volatile-ttl"}},
	} {
		info, err := test.store.Info(t.Context())
		if err != nil || len(info.Risks) != len(test.want) {
			t.Fatalf("%s: got %q and %v, want %q", name, info.Risks, err, test.want)
		}
		for i, want := range test.want {
			if !strings.Contains(info.Risks[i], want) {
				t.Errorf("%s: got %q, want it to name %s", name, info.Risks[i], want)
			}
		}
	}
}

// A server with the rules of an older version does not say how full it is, and
// serves all the same.
func TestRedisSpaceDenied(t *testing.T) {
	server := startRedis(t, redisSetup{grant: " -info"})
	s := server.open()
	_, err := s.Info(t.Context())
	wantError(t, "Info without the right", err, message.ErrUnavailable)
	if !strings.Contains(fmt.Sprint(err), "NOPERM") {
		t.Errorf("Info without the right: got %v, want NOPERM", err)
	}
	writeAndRead(t, s, 4, 4)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

// All that INFO shows the shipped user names no key and holds no value.
func TestRedisInfoShowsNothingOfMessages(t *testing.T) {
	server := startRedis(t, redisSetup{})
	s := server.open()
	const value = "the sealed value of a message"
	key := randomKey()
	if err := s.Put(t.Context(), key, []byte(value), nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	user := redis.NewClient(&redis.Options{
		Addr: server.addr(), Username: redisUser, Password: redisPassword, Protocol: 2, DisableIdentity: true,
	})
	defer func() { _ = user.Close() }()
	text, err := user.Info(t.Context(), "everything").Result()
	if err != nil || !strings.Contains(text, "keys=1,") {
		t.Fatalf("INFO everything: got %v %q, want all, with one key", err, text)
	}
	for _, secret := range []string{key.Hex(), key.Hex()[:8], "msg:", value, value[:8]} {
		if strings.Contains(text, secret) {
			t.Errorf("INFO everything shows %q", secret)
		}
	}
}

// Rules of an older version are named: plain messages go on, and limited ones are
// refused where they need what is missing.
func TestRedisOldRules(t *testing.T) {
	for _, right := range []string{"del", "pexpire", "eval", "role", "wait"} {
		t.Run(right, func(t *testing.T) {
			s := startRedis(t, redisSetup{grant: " -" + right}).open()
			info, err := s.Info(t.Context())
			if err != nil || len(info.Risks) != 1 || !strings.Contains(info.Risks[0], "NOPERM") || !strings.Contains(info.Risks[0], "users.acl") {
				t.Errorf("the risks: got %q and %v, want NOPERM and users.acl", info.Risks, err)
			}
			writeAndRead(t, s, 4, 4)
			if right == "eval" {
				wantError(t, "Put with a text", s.Put(t.Context(), randomKey(), []byte("record"), []byte("text"), time.Hour), message.ErrUnavailable)
			}
		})
	}
}
