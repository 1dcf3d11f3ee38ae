package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	bolterrors "go.etcd.io/bbolt/errors"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// TestContract holds both stores, and Redis in each of its forms, to what
// message.Store promises.
func TestContract(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		testContract(t, openBolt(t, filepath.Join(t.TempDir(), "messages.db")))
	})
	t.Run("redis", func(t *testing.T) {
		testContract(t, startRedis(t, redisSetup{}).open())
	})
	t.Run("redis with TLS", func(t *testing.T) {
		testContract(t, startRedis(t, redisSetup{authority: newAuthority(t)}).open())
	})
	t.Run("Cluster", func(t *testing.T) {
		testContract(t, openRedis(t, clusterURL(startCluster(t, 1)), nil))
	})
	t.Run("Sentinel", func(t *testing.T) {
		testContract(t, openRedis(t, startSentinel(t, startRedis(t, redisSetup{})), nil))
	})
}

// openBolt returns a store in the file at path. It is closed with the test.
func openBolt(t testing.TB, path string) *store.Bolt {
	t.Helper()
	b, err := store.OpenBolt(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// testContract runs the suite. It closes the store.
func testContract(t *testing.T, s messageStore) {
	for _, test := range slices.Concat(swaps, []part{
		{"gets what was put", getsWhatWasPut},
		{"tells absent", tellsAbsent},
		{"never replaces", neverReplaces},
		{"forgets at expiry", forgetsAtExpiry},
		{"gives values away", givesValuesAway},
		{"one of many writers wins", oneOfManyWritersWins},
		{"obeys the context", obeysTheContext},
		{"is unavailable once closed", unavailableOnceClosed},
	}) {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}

func getsWhatWasPut(t *testing.T, s messageStore) {
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("Ping: %v", err)
	}
	for _, size := range []int{0, 1, 100, 4096, 64 << 10, 256 << 10, 1 << 20} {
		key, value := randomKey(), randomBytes(size)
		if err := s.Put(t.Context(), key, bytes.Clone(value), nil, time.Hour); err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		got, err := s.Get(t.Context(), key)
		if err != nil || !bytes.Equal(got, value) {
			t.Errorf("Get of %d bytes: got %d bytes and %v, equal %v", size, len(got), err, bytes.Equal(got, value))
		}
	}
}

func tellsAbsent(t *testing.T, s messageStore) {
	value, err := s.Get(t.Context(), randomKey())
	wantError(t, "Get of nothing", err, message.ErrNotFound)
	if value != nil {
		t.Errorf("Get of nothing: got %d bytes, want nil", len(value))
	}
}

func neverReplaces(t *testing.T, s messageStore) {
	key := randomKey()
	if err := s.Put(t.Context(), key, []byte("first"), nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	wantError(t, "second Put", s.Put(t.Context(), key, []byte("second"), nil, time.Hour), message.ErrExists)
	if got, err := s.Get(t.Context(), key); err != nil || string(got) != "first" {
		t.Errorf("Get: got %q and %v, want the first value", got, err)
	}
}

func forgetsAtExpiry(t *testing.T, s messageStore) {
	key, stays := randomKey(), randomKey()
	start := time.Now()
	for key, ttl := range map[message.Key]time.Duration{key: time.Second, stays: time.Hour} {
		if err := s.Put(t.Context(), key, []byte("x"), nil, ttl); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "expiry", func() error {
		_, err := s.Get(t.Context(), key)
		switch {
		case err == nil:
			return errors.New("it is still there")
		case !errors.Is(err, message.ErrNotFound):
			t.Fatalf("Get: %v", err)
		}
		return nil
	})
	// Redis reads its clock a few times a second only, and may be early by that.
	if lived := time.Since(start); lived < 900*time.Millisecond {
		t.Errorf("lived %v, want a second", lived)
	}
	for range 100 { // and from then on
		_, err := s.Get(t.Context(), key)
		wantError(t, "Get after expiry", err, message.ErrNotFound)
	}
	if err := s.Put(t.Context(), key, []byte("again"), nil, time.Hour); err != nil {
		t.Errorf("Put under a key that has expired: %v", err)
	}
	if got, err := s.Get(t.Context(), key); err != nil || string(got) != "again" {
		t.Errorf("Get: got %q and %v, want the new value", got, err)
	}
	if _, err := s.Get(t.Context(), stays); err != nil {
		t.Errorf("Get of another message: %v", err)
	}
}

func givesValuesAway(t *testing.T, s messageStore) {
	key := randomKey()
	if err := s.Put(t.Context(), key, []byte("mine"), nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := s.Get(t.Context(), key)
		if err != nil || string(got) != "mine" {
			t.Fatalf("Get: got %q and %v", got, err)
		}
		clear(got)           // a caller opens an envelope in its place
		_ = append(got, 'x') // and may write behind it
	}
}

func oneOfManyWritersWins(t *testing.T, s messageStore) {
	const writers, keys = 16, 8
	shared := make([]message.Key, keys)
	for i := range shared {
		shared[i] = randomKey()
	}
	var won [keys]atomic.Int32
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			own := randomKey()
			value := fmt.Appendf(nil, "writer %d", w)
			for i, key := range shared {
				if err := s.Put(t.Context(), key, bytes.Clone(value), nil, time.Hour); err != nil {
					wantError(t, "Put of a taken key", err, message.ErrExists)
				} else {
					won[i].Add(1)
				}
			}
			if err := s.Put(t.Context(), own, bytes.Clone(value), nil, time.Hour); err != nil {
				t.Errorf("Put of a writer's own key: %v", err)
			}
			if got, err := s.Get(t.Context(), own); err != nil || !bytes.Equal(got, value) {
				t.Errorf("Get of a writer's own key: got %q and %v", got, err)
			}
		})
	}
	all.Wait()
	for i := range won {
		if n := won[i].Load(); n != 1 {
			t.Errorf("key %d: %d writers were told that they had stored it, want 1", i, n)
		}
	}
}

func obeysTheContext(t *testing.T, s messageStore) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	for name, ctx := range map[string]context.Context{"cancelled": cancelled, "late": late} {
		key := randomKey()
		wantError(t, name+" Put", s.Put(ctx, key, []byte("x"), nil, time.Hour), message.ErrUnavailable)
		_, err := s.Get(ctx, key)
		wantError(t, name+" Get", err, message.ErrUnavailable)
		wantError(t, name+" Ping", s.Ping(ctx), message.ErrUnavailable)
		_, err = s.Get(t.Context(), key)
		wantError(t, "Get of what was not put", err, message.ErrNotFound)
	}
}

func unavailableOnceClosed(t *testing.T, s messageStore) {
	key := randomKey()
	if err := s.Put(t.Context(), key, []byte("x"), nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	var under sync.WaitGroup // while they write, the store is closed, by two at a time
	for range 8 {
		under.Go(func() {
			for {
				if err := s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour); err != nil {
					wantError(t, "Put while closing", err, message.ErrUnavailable)
					return
				}
			}
		})
	}
	for range 2 {
		under.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	timely(t, "closing", under.Wait)
	if err := s.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	wantError(t, "Put", s.Put(t.Context(), randomKey(), []byte("x"), nil, time.Hour), message.ErrUnavailable)
	_, err := s.Get(t.Context(), key)
	wantError(t, "Get", err, message.ErrUnavailable)
	wantError(t, "Ping", s.Ping(t.Context()), message.ErrUnavailable)
	noGoroutines(t)
}

// wantError checks that err is one of the contract's, and no other of these.
func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
		return
	}
	for _, other := range []error{
		message.ErrNotFound, message.ErrExists, message.ErrFull, message.ErrUnavailable, message.ErrTampered,
		redis.Nil, redis.ErrClosed, redis.ErrPoolTimeout, redis.ErrPoolExhausted, redis.TxFailedErr,
		bolterrors.ErrDatabaseNotOpen, bolterrors.ErrTimeout, bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrTxClosed,
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		fs.ErrNotExist, fs.ErrPermission, fs.ErrClosed, syscall.ENOSPC, syscall.ECONNREFUSED, syscall.EPIPE,
	} {
		if !errors.Is(want, other) && errors.Is(err, other) {
			t.Errorf("%s: %v is %v as well", what, err, other)
		}
	}
	var networked net.Error
	var answered redis.Error
	if errors.As(err, &networked) || errors.As(err, &answered) {
		t.Errorf("%s: %v holds a foreign error", what, err)
	}
}

// randomKey returns a random key.
func randomKey() message.Key { return message.Key(randomBytes(len(message.Key{}))) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
