package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// The metrics show how full Redis is until it refuses writes. The alert before that uses
// them.
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

// If Redis does not let its user run INFO, only the figures are missing.
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

// What Redis reports is logged once, until it changes or Redis was lost. The last figures
// stay, so that one check without an answer ends no alert.
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
		{grant("-get"), "", true, true, ""}, // counts as lost
		{grant("+get"), "store_unsafe", true, false, "allkeys-lru"},
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

// A Redis that refuses writes leaves the service ready, because reads go on. Readiness, a
// metric and the log say why, and that it is over, without a write of a client.
func TestReadsGoOnWhereWritesDoNot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		begin, end func(*redisServer)
		status     int
		outcome    string
		word       string // in readiness
	}{
		"full": {
			func(r *redisServer) { r.Do("config", "set", "maxmemory", "1mb") },
			func(r *redisServer) { r.Do("config", "set", "maxmemory", "100mb") },
			http.StatusInsufficientStorage, "full", "OOM",
		},
		"a disk that fails": {
			func(r *redisServer) {
				r.Do("config", "set", "save", "3600 1")
				if err := os.RemoveAll(r.Dir); err != nil {
					r.t.Fatal(err)
				}
				r.Do("bgsave")
				eventually(r.t, time.Minute, "saving fails", func() bool {
					return strings.Contains(fmt.Sprint(r.Do("info", "persistence")), "rdb_last_bgsave_status:err")
				})
			},
			func(r *redisServer) { r.Do("config", "set", "stop-writes-on-bgsave-error", "no") },
			http.StatusServiceUnavailable, "misconf", "MISCONF",
		},
		"no replicas, for Redis": {
			func(r *redisServer) { r.Do("config", "set", "min-replicas-to-write", "1") },
			func(r *redisServer) { r.Do("config", "set", "min-replicas-to-write", "0") },
			http.StatusServiceUnavailable, "no_replicas", "NOREPLICAS",
		},
		"a right that is missing": {
			func(r *redisServer) { r.Do("acl", "setuser", redisUser, "-set") },
			func(r *redisServer) { r.Do("acl", "setuser", redisUser, "+set") },
			http.StatusServiceUnavailable, "denied", "NOPERM",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := startRedis(t)
			s, c := start(t, "--store="+redis.URL(true)), client(2)
			link, err := s.post(c, "text")
			if err != nil {
				t.Fatal(err)
			}
			tells := func(writable float64, word string) func() bool {
				return func() bool {
					status, report := s.ready()
					if status != http.StatusOK {
						t.Fatalf("readiness: got %d %s, want 200", status, report)
					}
					return s.scrape()["store_writable"] == writable && strings.Contains(report, word)
				}
			}
			eventually(t, time.Minute, "writes work", tells(1, ""))
			test.begin(redis)
			calls := `store_calls_total{op="put",outcome="` + test.outcome + `"}`
			before := s.scrape()[calls]
			if a := s.must(c, http.MethodPost, "/", "x"); a.status != test.status {
				t.Errorf("creating: got %d, want %d", a.status, test.status)
			}
			if got := s.scrape()[calls]; got != before+1 {
				t.Errorf("%s went from %v to %v", calls, before, got)
			}
			eventually(t, time.Minute, "it is told", tells(0, test.word))
			if status, text, err := s.get(c, link); err != nil || status != http.StatusOK || text != "text" {
				t.Errorf("reading: got %d %q %v", status, text, err)
			}
			test.end(redis)
			eventually(t, time.Minute, "that it is over is told", tells(1, ""))
			s.stop()
			if log := s.stdout.String(); !strings.Contains(log, test.word) || strings.Contains(log, `"store_lost"`) && test.outcome != "denied" {
				t.Errorf("the log: want %s and no outage: %s", test.word, log)
			}
		})
	}
}

// With --redis-replicas a message is created when the replica has it. While the replica
// hangs, creating is a 503, what is there is read, and nothing is said not to be there.
func TestCreationsWaitForReplicas(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	host, port, _ := net.SplitHostPort(redis.Addr)
	replica := startRedis(t, "--replicaof", host+" "+port, "--masteruser", redisAdmin, "--masterauth", redisPassword)
	confirmed, plain := start(t, "--store="+redis.URL(true), "--redis-replicas=1"), start(t, "--store="+redis.URL(true))
	c := client(2)
	var link string
	eventually(t, time.Minute, "a message is created", func() (created bool) {
		var err error
		link, err = confirmed.post(c, "text")
		return err == nil
	})
	_, id, _ := strings.Cut(link, "/msg/")
	const unknown = "/msg/6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	for what, holds := range map[string]func() bool{
		"a replica that confirms is no risk": func() bool {
			_, report := confirmed.ready()
			return !strings.Contains(report, "replicas")
		},
		"one that does not is": func() bool {
			status, report := plain.ready()
			return status == http.StatusOK && strings.Contains(report, "--redis-replicas is 0")
		},
		"nothing is there": func() bool { return confirmed.must(c, http.MethodGet, unknown, "").status == http.StatusNotFound },
	} {
		eventually(t, time.Minute, what, holds)
	}
	replica.Freeze()
	if a := confirmed.must(c, http.MethodPost, "/", "x"); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("creating without the replica: got %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if a := confirmed.must(c, http.MethodGet, "/msg/"+id, ""); a.status != http.StatusOK {
		t.Errorf("reading without the replica: got %d", a.status)
	}
	eventually(t, time.Minute, "misses are not reported", func() bool {
		return confirmed.must(c, http.MethodGet, unknown, "").status == http.StatusServiceUnavailable
	})
	eventually(t, time.Minute, "readiness tells", func() bool {
		status, report := confirmed.ready()
		return status == http.StatusOK && strings.Contains(report, "it refuses writes") && strings.Contains(report, "--redis-replicas")
	})
	replica.Thaw()
	eventually(t, time.Minute, "it goes on", func() bool {
		return confirmed.must(c, http.MethodPost, "/", "x").status == http.StatusOK &&
			confirmed.must(c, http.MethodGet, unknown, "").status == http.StatusNotFound
	})
	confirmed.stop()
	plain.stop()
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
