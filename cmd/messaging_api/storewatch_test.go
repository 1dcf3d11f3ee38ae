package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// How full Redis is shows, as it fills up to where it refuses: what the alert
// before that is made of.
func TestMetricsOfRedisSpace(t *testing.T) {
	t.Parallel()
	const room = 16 << 20
	redis := startRedis(t, "--maxmemory", "16mb")
	s := start(t, "--store="+redis.URL(true))
	share := func() float64 {
		got := s.scrape()
		if got["store_limit_bytes"] != room {
			t.Logf("the limit: got %v, want %d", got["store_limit_bytes"], room)
			return 0
		}
		return got["store_used_bytes"] / room
	}
	eventually(t, time.Minute, "an empty Redis reports", func() bool { s := share(); return s > 0 && s < .5 })
	c := client(1)
	text := strings.Repeat("x", 200_000)
	for n, status := 0, 0; status != http.StatusInsufficientStorage; n++ {
		if n > 200 {
			t.Fatal("Redis is not full")
		}
		status = s.must(c, http.MethodPost, "/", text).status
	}
	eventually(t, time.Minute, "a full Redis reports", func() bool { return share() > .85 })
	s.stop()
}

// A Redis that does not let its user ask leaves the figures out, and nothing else.
func TestMetricsWithoutRedisSpace(t *testing.T) {
	redis := startRedis(t)
	redis.Do("acl", "setuser", redisUser, "-info")
	s := start(t, "--store="+redis.URL(true))
	eventually(t, time.Minute, "it is said", func() bool { return strings.Contains(s.stdout.String(), `"store_space"`) })
	got := s.scrape()
	for _, series := range []string{"store_used_bytes", "store_limit_bytes"} {
		if value, there := got[series]; there {
			t.Errorf("%s: got %v, want none", series, value)
		}
	}
	if status, report := s.ready(); status != http.StatusOK {
		t.Errorf("readiness: got %s", report)
	}
	if _, err := s.post(client(1), "x"); err != nil {
		t.Error(err)
	}
	s.stop()
}

// What Redis reports is logged once, until it changes or Redis was lost. How full it was
// stays known, so that one round without an answer ends no alert.
func TestStoreMonitor(t *testing.T) {
	redis := startRedis(t)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	messages, err := store.NewRedis(redis.URL(true), store.RedisOptions{}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = messages.Close() }()
	counted := countedStore{messages, newMetrics(), &outageLog{log: slog.New(slog.DiscardHandler), explain: func(err error) error { return err }}}
	m := &storeMonitor{countedStore: counted, log: log}
	grant := func(right string) func() {
		return func() { redis.Do("acl", "setuser", redisUser, right) }
	}
	policy := func(name string) func() { return func() { redis.Do("config", "set", "maxmemory-policy", name) } }
	for i, step := range []struct {
		change func()
		events string // those that are new
		known  bool
		lost   bool
		detail string // in readiness
	}{
		{grant("-info"), "store_space", false, false, ""},
		{grant("-info"), "", false, false, ""},
		{grant("+info"), "", true, false, ""},
		{policy("allkeys-lru"), "store_unsafe", true, false, "allkeys-lru"},
		{policy("allkeys-lru"), "", true, false, "allkeys-lru"},
		{grant("-ping"), "", true, true, ""}, // counts as lost
		{grant("+ping"), "store_unsafe", true, false, "allkeys-lru"},
		{policy("volatile-ttl"), "store_unsafe", true, false, "volatile-ttl"},
		{policy("noeviction"), "", true, false, ""},
		{grant("-info"), "store_space", true, false, ""},
	} {
		step.change()
		out.Reset()
		detail, err := m.check(t.Context())
		if (err != nil) != step.lost {
			t.Errorf("step %d: got the error %v", i, err)
		}
		var events []string
		for _, line := range records(t, out.String()) {
			events = append(events, fmt.Sprint(line["event"]))
		}
		if got := strings.Join(events, " "); got != step.events {
			t.Errorf("step %d: got the events %q, want %q: %s", i, got, step.events, out.String())
		}
		if used, limit := m.space(); (used > 0) != step.known || (limit > used) != step.known {
			t.Errorf("step %d: got %d of %d bytes, want them known: %t", i, used, limit, step.known)
		}
		if !strings.Contains(detail, step.detail) || step.detail == "" && detail != "" {
			t.Errorf("step %d: got the detail %q, want %q", i, detail, step.detail)
		}
	}
}

// A Redis that may lose messages, and one that refuses the service, cannot be
// missed: the log, readiness and the command check say so, without a request.
func TestRedisFaultsShowAtTheStart(t *testing.T) {
	t.Parallel()
	unsafe := startRedis(t, "--appendonly", "no", "--maxmemory-policy", "allkeys-lfu")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		event  string
		status int
		exit   int
		words  []string
	}{
		"unsafe": {
			[]string{"--store=" + unsafe.URL(true)},
			"store_unsafe", http.StatusOK, 0, []string{"append-only", "allkeys-lfu"},
		},
		"wrong password": {
			[]string{"--store=" + unsafe.URL(false), "--redis-password-file=" + password},
			"store_lost", http.StatusServiceUnavailable, 1, []string{"WRONGPASS", "--redis-password-file", redisUser},
		},
		"no password": {
			[]string{"--store=redis://" + unsafe.Addr},
			"store_lost", http.StatusServiceUnavailable, 1, []string{"NOAUTH", "--redis-password-file", "default"},
		},
		"TLS": {
			[]string{"--store=" + strings.Replace(unsafe.URL(true), "redis:", "rediss:", 1)},
			"store_lost", http.StatusServiceUnavailable, 1, []string{"does not speak TLS", "--store"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := func(text string) bool {
				for _, word := range test.words {
					if !strings.Contains(text, word) {
						return false
					}
				}
				return true
			}
			s := start(t, test.args...)
			eventually(t, time.Minute, "it is logged", func() bool {
				for line := range strings.Lines(s.stdout.String()) {
					if strings.Contains(line, `"event":"`+test.event+`"`) && all(line) {
						return true
					}
				}
				return false
			})
			eventually(t, time.Minute, "readiness says it", func() bool {
				status, report := s.ready()
				return status == test.status && all(report)
			})
			s.stop()
			check := program(t, nil, append([]string{"check"}, test.args...)...)
			out, _ := check.CombinedOutput() // the exit code says it
			if code := check.ProcessState.ExitCode(); code != test.exit || !all(string(out)) {
				t.Errorf("check: exit %d, want %d, and the words %q: %s", code, test.exit, test.words, out)
			}
		})
	}
}

// The command check looks into the embedded store, also while a service has it.
func TestCheckOpensTheEmbeddedStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "messages.db")
	check := func(path, want string, exit int) {
		t.Helper()
		command := program(t, nil, "check", "--store=file:"+path)
		out, _ := command.CombinedOutput()
		if code := command.ProcessState.ExitCode(); code != exit || !strings.Contains(string(out), want) {
			t.Errorf("check: exit %d, want %d, and %q: %s", code, exit, want, out)
		}
	}
	check(path, "does not exist yet", 0)
	s := start(t, "--store=file:"+path)
	check(path, "in use", 0)
	s.stop()
	check(path, "a whole store", 0)
	damaged := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(damaged, []byte("not a store"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(damaged, "--store: store file", 1)
}

// Loss and return are logged once each, and a store that fails now and then does not fill
// the log.
func TestOutageLog(t *testing.T) {
	var out bytes.Buffer
	w := &outageLog{log: slog.New(slog.NewJSONHandler(&out, nil)), explain: func(err error) error { return err }}
	lost := fmt.Errorf("%w: refused", message.ErrUnavailable)
	now := time.Unix(1e9, 0)
	for _, step := range []struct {
		after time.Duration
		err   error
		want  string // event
	}{
		{0, nil, ""},
		{0, message.ErrNotFound, ""},
		{0, message.ErrFull, ""},
		{0, lost, "store_lost"},
		{time.Second, lost, ""},
		{time.Millisecond, nil, ""},
		{0, lost, ""},
		{outageEnd - 1, nil, ""},
		{1, message.ErrNotFound, "store_back"}, // an answer like any other
		{0, nil, ""},
		{0, lost, "store_lost"},
		{time.Hour, nil, "store_back"},
	} {
		now = now.Add(step.after)
		out.Reset()
		if err := w.note(step.err, now); !errors.Is(err, step.err) {
			t.Errorf("%v: got the error %v", step.err, err)
		}
		got := ""
		for _, line := range records(t, out.String()) {
			got += fmt.Sprint(line["event"])
		}
		if got != step.want {
			t.Errorf("%v later, %v: got event %q, want %q", step.after, step.err, got, step.want)
		}
	}
}
