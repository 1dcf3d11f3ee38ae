package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"

	"messaging_api/internal/limit"
	"messaging_api/internal/message"
	"messaging_api/internal/redistest"
	"messaging_api/internal/web"
)

// flip returns what a record is after somebody has written to the store.
func flip(value []byte) []byte {
	changed := bytes.Clone(value)
	changed[len(changed)-1] ^= 1
	return changed
}

// tamperRedis changes every message.
func tamperRedis(t *testing.T, server *redistest.Server) {
	t.Helper()
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, Username: redistest.AdminUser, Password: redistest.Password})
	defer func() { _ = admin.Close() }()
	keys, err := admin.Keys(t.Context(), "msg:*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("messages in Redis: got %q, %v", keys, err)
	}
	for _, key := range keys {
		value, err := admin.Get(t.Context(), key).Bytes()
		if err == nil {
			err = admin.Set(t.Context(), key, flip(value), redis.KeepTTL).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tamperFile does so in the embedded store, which is not in use.
func tamperFile(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	changed := 0
	err = db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket([]byte("messages"))
		all := make(map[string][]byte)
		if err := records.ForEach(func(key, value []byte) error {
			all[string(key)] = flip(value)
			return nil
		}); err != nil {
			return err
		}
		for key, value := range all {
			changed++
			if err := records.Put([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || changed == 0 {
		t.Fatalf("messages in the file: changed %d, %v", changed, err)
	}
}

// What somebody has changed in the store is gone to who has the link, an event to
// the operator, and a secret still.
func TestTamperedMessages(t *testing.T) {
	server := redistest.New(t)
	file := filepath.Join(t.TempDir(), "m.db")
	for name, tc := range map[string]struct {
		store  string
		tamper func()
	}{
		"file":  {"file:" + file, func() { tamperFile(t, file) }},
		"redis": {server.URL(true), func() { tamperRedis(t, server) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			begin := func() *visitor {
				return &visitor{service: start(t, "--store="+tc.store, "--log-level=debug", "--log-dir="+dir), host: "localhost"}
			}
			v := begin()
			path := v.create(client(1))
			secret := v.secrets
			before := v.written(dir)
			tc.tamper()
			v = begin()
			v.secrets = secret
			if status, _ := v.ask(client(1), "GET", path, "", ""); status != http.StatusNotFound {
				t.Errorf("a message that was changed: got %d, want 404", status)
			}
			eventually(t, 10*time.Second, "the event tampered", func() bool { return strings.Contains(v.stdout.String(), `"event":"tampered"`) })
			for _, written := range []map[string]string{before, v.written(dir)} {
				for what, text := range written {
					v.expectNone(t, what, text)
				}
			}
		})
	}
}

// A burst is a store that panics with all that it was given.
type burst struct{ text []byte }

func (b burst) Put(_ context.Context, key message.Key, value []byte, _ time.Duration) error {
	panic(string(b.text) + string(key[:]) + string(value))
}

func (burst) Ping(context.Context) error { return nil }

func (burst) Close() error { return nil }

func (b burst) Get(_ context.Context, key message.Key) ([]byte, error) {
	panic(&struct {
		text []byte
		key  message.Key
	}{b.text, key})
}

// A panic is logged by where it came from, through all that the service logs with,
// and shows nothing of what it holds.
func TestPanicShowsNoSecrets(t *testing.T) {
	dir := t.TempDir()
	o, _, err := parse([]string{"--log-level=debug", "--log-dir=" + dir}, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	out := new(lines)
	log, logs, err := o.openLog(out)
	if err != nil {
		t.Fatal(err)
	}
	table := limit.NewTable(o.rates(), o.LimitClients, time.Now())
	var s secrets
	text := s.fresh()
	store := measured{burst{[]byte(text)}, newMetrics(), &storeWatch{log: log}}
	metrics := newMetrics()
	handler := web.Serve(requestLog(log, newResolver(t), newDigest(log)), requestMetrics{metrics},
		web.Hosts(nil, web.Routes(message.NewBox(store), o.limits(),
			limiter{newResolver(t), limit.NewLocal(table), metrics.Missed}, web.NewInFlight(1, time.Second))))
	id := message.NewID().Reveal()
	path := s.link("/msg/" + id)
	for _, request := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"message":"`+text+`"}`)),
		httptest.NewRequest(http.MethodGet, path, nil),
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusInternalServerError {
			t.Errorf("%s: got %d, want 500", request.Method, answer.Code)
		}
		s.expectNone(t, "the answer", answer.Body.String())
	}
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"stdout": out.String(), "the log's file": string(file)} {
		if n := strings.Count(text, `"event":"panic"`); n != 2 {
			t.Errorf("%s tells of %d panics, want 2:\n%s", what, n, text)
		}
		s.expectNone(t, what, text)
	}
}
