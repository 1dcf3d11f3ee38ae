package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Two processes on one Redis hold a client to one budget, with the shipped
// user's rights; while Redis is gone each holds it by itself, and neither lets
// everything through nor refuses all.
func TestSharedBudget(t *testing.T) {
	redis := startRedis(t)
	args := []string{
		"--store=" + redis.URL(true), "--limit-scope=shared", "--limit-create=off", "--limit-bytes=off",
		"--limit-miss=off", "--limit-read=1/h:40", "--handshakes-per-client=off", "--conns-per-client=0",
	}
	both := []*service{startLimited(t, args...), startLimited(t, args...)}
	c := client(1)
	link, err := both[0].post(c, "x")
	if err != nil {
		t.Fatal(err)
	}
	// read asks both in turn and counts the answers by status.
	read := func(n int) map[int]int {
		got := make(map[int]int)
		for i := range n {
			status, _, err := both[i%2].get(c, link)
			if err != nil {
				t.Fatal(err)
			}
			got[status]++
		}
		return got
	}
	fallbacks := func() float64 {
		return both[0].scrape()["limit_fallbacks_total"] + both[1].scrape()["limit_fallbacks_total"]
	}
	// On a busy machine Redis may answer too late. What each process decides then by
	// itself is another test's: here a client counts for which Redis decided all.
	clients := 0
	eventually(t, time.Minute, "Redis decides 60 times", func() bool {
		clients++
		c = from(fmt.Sprintf("127.0.1.%d", clients), 1)
		before := fallbacks()
		got := read(60)
		if fallbacks() > before {
			return false
		}
		if got[200] != 40 || got[429] != 20 {
			t.Errorf("60 reads of two processes with one budget of 40: got %v, want 40 and 20", got)
		}
		return true
	})

	redis.Kill()
	before := []float64{both[0].scrape()["limit_fallbacks_total"], both[1].scrape()["limit_fallbacks_total"]}
	got := read(2)
	// The local budgets are full, because Redis granted all reads. The store is gone, so
	// what the limit lets through is a 503.
	if got[503] != 2 {
		t.Errorf("without Redis: got %v, want what the local budget grants, and a store that is gone", got)
	}
	for i, s := range both {
		if got := s.scrape()["limit_fallbacks_total"] - before[i]; got < 1 {
			t.Errorf("limit_fallbacks_total without Redis: got %v more, want at least 1", got)
		}
	}

	redis.Start()
	eventually(t, time.Minute, "the shared budget again", func() bool {
		status, _, err := both[0].get(c, link)
		return err == nil && (status == 200 || status == 429)
	})
	for _, s := range both {
		if strings.Contains(s.stdout.String(), "NOPERM") {
			t.Error(fmt.Sprint("the shipped user lacks a right: ", s.stdout))
		}
		s.stop()
	}
}
