package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/redistest"
	"messaging_api/internal/store"
)

// How full Redis is shows, as it fills up to where it refuses: what the alert
// before that is made of.
func TestMetricsOfRedisSpace(t *testing.T) {
	t.Parallel()
	const room = 16 << 20
	redis := redistest.New(t, "--maxmemory", "16mb")
	s := start(t, "--store="+redis.URL(true))
	share := func() float64 {
		got := s.scrape()
		if got["store_limit_bytes"] != room {
			t.Logf("the limit: got %v, want %d", got["store_limit_bytes"], room)
			return 0
		}
		return got["store_used_bytes"] / room
	}
	eventually(t, 20*time.Second, "an empty Redis tells", func() bool { s := share(); return s > 0 && s < .5 })
	c := client(1)
	text := strings.Repeat("x", 200_000)
	for n, status := 0, 0; status != http.StatusInsufficientStorage; n++ {
		if n > 200 {
			t.Fatal("Redis is not full")
		}
		status = s.must(c, http.MethodPost, "/", text).status
	}
	eventually(t, 2*spaceEvery+20*time.Second, "a full Redis tells", func() bool { return share() > .85 })
	s.stop()
}

// A Redis that does not let its user ask leaves the figures out, and nothing else.
func TestMetricsWithoutRedisSpace(t *testing.T) {
	redis := redistest.New(t)
	redis.Do("acl", "setuser", redistest.User, "-info")
	s := start(t, "--store="+redis.URL(true))
	eventually(t, 20*time.Second, "it is said", func() bool { return strings.Contains(s.stdout.String(), `"store_space"`) })
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

// That Redis does not say is said once, until it does; and what it said last
// counts for a while, so that one round without an answer ends no alert.
func TestSpaceWatch(t *testing.T) {
	redis := redistest.New(t)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	messages, err := store.NewRedis(redis.URL(true), store.RedisOptions{}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = messages.Close() }()
	w := &spaceWatch{messages: messages, log: log}
	for i, step := range []struct {
		grant string
		lines int
		known bool
	}{
		{"-info", 1, false}, {"-info", 1, false}, {"+info", 1, true}, {"-info", 2, true}, {"-info", 2, true},
	} {
		redis.Do("acl", "setuser", redistest.User, step.grant)
		w.ask(t.Context(), messages)
		if got := len(records(t, out.String())); got != step.lines {
			t.Errorf("step %d, %s: got %d lines, want %d: %s", i, step.grant, got, step.lines, out.String())
		}
		if used, limit := w.now(); (used > 0) != step.known || (limit == 256<<20) != step.known {
			t.Errorf("step %d, %s: got %d of %d bytes, want them known: %t", i, step.grant, used, limit, step.known)
		}
	}
	last := *w.last.Load()
	last.at = time.Now().Add(-spaceKept)
	w.last.Store(&last)
	if used, limit := w.now(); used != 0 || limit != 0 {
		t.Errorf("an answer %v ago: got %d of %d bytes, want none", spaceKept, used, limit)
	}
}
