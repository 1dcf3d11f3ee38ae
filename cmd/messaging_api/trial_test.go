package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	bolt "go.etcd.io/bbolt"
)

// A trial is a store under a service, with what can befall it.
type trial struct {
	args        []string // the service's
	roomy       bool     // it cannot be filled
	storeFaults func(*secrets) []storeFault
	// rewrite changes the envelopes in the store while the service does not run.
	rewrite func(change func(envelopes [][]byte))
}

// A storeFault begins and ends while the service runs.
type storeFault struct {
	name         string // follows "while"
	read, create int    // the statuses meanwhile; 0: not asked
	begin, end   func()
}

// ownDisk returns a folder on a small disk of its own, or for tests without root
// one that is on no such disk.
func ownDisk(t *testing.T, size string) (dir string, small bool) {
	t.Helper()
	if os.Geteuid() == 0 {
		return smallDisk(t, size), true
	}
	t.Log("NOT TESTED: a full disk: mounting a small one needs root")
	return t.TempDir(), false
}

// fileTrial is the embedded store.
func fileTrial(t *testing.T) trial {
	dir, small := ownDisk(t, "64m")
	path, ballast := filepath.Join(dir, "messages.db"), filepath.Join(dir, "ballast")
	var good []byte
	damaged := storeFault{
		name: "the file is damaged", read: http.StatusServiceUnavailable,
		begin: func() {
			good = readFile(t, path)
			bad := append([]byte(nil), good...)
			for i := 2 * os.Getpagesize(); i < len(bad); i++ { // behind the two that say where things are
				bad[i] = 0xff
			}
			overwrite(t, path, bad)
		},
		end: func() { overwrite(t, path, good) },
	}
	full := storeFault{
		name: "the disk is full", read: http.StatusOK, create: http.StatusInsufficientStorage,
		begin: func() {
			if err := os.WriteFile(ballast, make([]byte, 64<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("filling the disk: got %v, want %v", err, syscall.ENOSPC)
			}
		},
		end: func() {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		},
	}
	storeFaults := []storeFault{damaged}
	if small {
		storeFaults = []storeFault{full, damaged}
	}
	return trial{
		args:        []string{"--store=file:" + path},
		roomy:       !small,
		storeFaults: func(*secrets) []storeFault { return storeFaults },
		rewrite:     func(change func([][]byte)) { rewriteFile(t, path, change) },
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// overwrite changes a file in place: programs that have it open or mapped see it.
func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
}

// rewriteFile leaves the keys, and the expiry in front of each envelope.
func rewriteFile(t *testing.T, path string, change func(envelopes [][]byte)) {
	t.Helper()
	const stamp = 8
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		messages := tx.Bucket([]byte("messages"))
		var keys, stamps, envelopes [][]byte
		err := messages.ForEach(func(key, record []byte) error {
			record = append([]byte(nil), record...)
			keys, stamps, envelopes = append(keys, append([]byte(nil), key...)), append(stamps, record[:stamp:stamp]), append(envelopes, record[stamp:])
			return nil
		})
		change(envelopes)
		for i, key := range keys {
			err = errors.Join(err, messages.Put(key, append(stamps[i], envelopes[i]...)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// redisTrial is Redis, with the limits in it too.
func redisTrial(t *testing.T) trial {
	server := startRedis(t)
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, Username: redisAdmin, Password: redisPassword})
	t.Cleanup(func() { _ = admin.Close() })
	do := func(command ...any) func() {
		return func() {
			if err := admin.Do(context.Background(), command...).Err(); err != nil {
				t.Fatalf("%v: %v", command[:2], err)
			}
		}
	}
	const gone = http.StatusServiceUnavailable
	rules := do("ACL", "LOAD") // the shipped ones
	return trial{
		args: []string{"--store=" + server.URL(true), "--limit-scope=shared"},
		storeFaults: func(s *secrets) []storeFault {
			return []storeFault{
				{"Redis is gone", gone, gone, server.Kill, server.Start},
				{"Redis hangs", gone, gone, server.Freeze, server.Thaw},
				{"Redis is full", http.StatusOK, http.StatusInsufficientStorage, do("CONFIG", "SET", "maxmemory", "1"), do("CONFIG", "SET", "maxmemory", "0")},
				{"the user has no right to a key", gone, gone, do("ACL", "SETUSER", redisUser, "resetkeys", "clearselectors"), rules},
				{"the password is another", gone, gone, func() {
					do("ACL", "SETUSER", redisUser, "resetpass", ">"+s.fresh())()
					do("CLIENT", "KILL", "USER", redisUser)()
				}, rules},
			}
		},
		rewrite: func(change func([][]byte)) { rewriteRedis(t, admin, change) },
	}
}

// rewriteRedis leaves the keys, and how long they live.
func rewriteRedis(t *testing.T, admin *redis.Client, change func(envelopes [][]byte)) {
	t.Helper()
	keys, err := admin.Keys(t.Context(), "msg:*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("keys: got %d and %v", len(keys), err)
	}
	var envelopes [][]byte
	for _, key := range keys {
		envelope, err := admin.Get(t.Context(), key).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		envelopes = append(envelopes, envelope)
	}
	change(envelopes)
	for i, key := range keys {
		if err := admin.Set(t.Context(), key, envelopes[i], redis.KeepTTL).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
