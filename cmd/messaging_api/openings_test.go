package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/api"
)

// limited creates a message that can be opened so often. It asks again while the
// store is away.
func (s *service) limited(c *http.Client, reads int) api.Created {
	s.t.Helper()
	body := fmt.Sprintf(`{"message":"the text","reads":%d,"ttl":3600}`, reads)
	a := s.must(c, http.MethodPost, "/", body, "Content-Type", "application/json")
	var created api.Created
	if err := json.Unmarshal([]byte(a.body), &created); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("creating a limited message: %d %s", a.status, a.body)
	}
	return created
}

// open opens a message with a claim.
func (s *service) open(c *http.Client, id, claim string) (answer, error) {
	return s.send(c, http.MethodPost, "/msg/"+id, `{"claim":"`+claim+`"}`, "Content-Type", "application/json")
}

// openUntilKnown opens a message, and asks again with the claim until there is an
// answer that is neither lost nor a 503: then it is a 200 or a 410.
func (s *service) openUntilKnown(c *http.Client, id, claim string) answer {
	for s.t.Context().Err() == nil {
		a, err := s.open(c, id, claim)
		switch {
		case err != nil, a.status == http.StatusServiceUnavailable:
		case a.status == http.StatusOK, a.status == http.StatusGone:
			return a
		default:
			s.t.Errorf("opening: got %d %s, want 200 or 410", a.status, a.body)
			return a
		}
	}
	return answer{}
}

func claimOf(i int) string { return fmt.Sprintf("claim-%016d", i) }

// Two processes on one Redis let exactly as many of 100 openers at once have the
// text as there are reads.
func TestOpenersOfTwoProcesses(t *testing.T) {
	redis := startRedis(t)
	args := []string{"--store=" + redis.URL(true)}
	both := []*service{start(t, args...), start(t, args...)}
	clients := []*http.Client{client(1), client(2)}
	const openers = 100
	for _, reads := range []int{1, 3, openers} {
		created := both[0].limited(clients[0], reads)
		var texts atomic.Int32
		var wg sync.WaitGroup
		answers := make([]answer, openers)
		for i := range openers {
			wg.Go(func() {
				answers[i] = both[i%2].openUntilKnown(clients[i%2], created.MessageID, claimOf(i))
				if answers[i].status == http.StatusOK {
					texts.Add(1)
				}
			})
		}
		wg.Wait()
		if got := int(texts.Load()); got != reads {
			t.Errorf("%d reads: %d openers got the text", reads, got)
		}
		for i, first := range answers { // from the other process
			if again := both[(i+1)%2].openUntilKnown(clients[i%2], created.MessageID, claimOf(i)); again.status != first.status || again.status == http.StatusOK && again.body != first.body {
				t.Errorf("%d reads, claim %d: got %d %s, then %d %s", reads, i, first.status, first.body, again.status, again.body)
			}
		}
	}
	for _, s := range both {
		s.stop()
	}
}

// The service and Redis are killed at random moments of openings, 51 times in all.
// Nobody who got the text fails to get it again with the claim, nobody gets it
// beyond the number of reads, and no text is left once no claim needs it.
func TestKilledWhileOpening(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "messages.db")
		k := newKilling(t, "--store=file:"+path)
		for range 17 {
			k.round(k.killService)
		}
		k.endClaims()
		k.service.stop()
		if left := textsInFile(t, path); left > 0 {
			t.Errorf("%d texts are left in the file", left)
		}
	})
	t.Run("redis", func(t *testing.T) {
		redis := startRedis(t)
		k := newKilling(t, "--store="+redis.URL(true))
		killRedis := func() {
			redis.Kill()
			redis.Start()
		}
		for range 17 {
			k.round(k.killService)
			k.round(killRedis)
		}
		k.endClaims()
		expectNoTexts(t, redis)
		k.service.stop()
	})
}

// A killing is a service on a fixed port. It is killed and started again while its
// messages are opened.
type killing struct {
	*service
	client *http.Client
	args   []string
	got    []opened // over all rounds
}

// An opened is an opening that was answered with the text.
type opened struct{ id, claim, body string }

func newKilling(t *testing.T, args ...string) *killing {
	args = append(args, "--listen="+freeAddr(t))
	return &killing{start(t, args...), client(1), args, nil}
}

func (k *killing) killService() {
	k.service.kill()
	k.service = start(k.t, k.args...)
}

// round has several openers for each of some messages, kills something in the
// middle, and waits until all openers have their answer.
func (k *killing) round(kill func()) {
	k.t.Helper()
	const messages, openers = 6, 5
	type message struct {
		reads int
		id    string
	}
	var all []message
	for i := range messages {
		reads := 1 + i%3
		all = append(all, message{reads, k.limited(k.client, reads).MessageID})
	}
	opener := k.service // its address is that of each service to come
	answers := make([]answer, messages*openers)
	var known atomic.Int32
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i] = opener.openUntilKnown(k.client, all[i%messages].id, claimOf(i))
			known.Add(1)
		})
	}
	moment := rand.Int32N(messages * openers)
	eventually(k.t, time.Minute, "openings", func() bool { return known.Load() >= moment })
	kill()
	wg.Wait()
	texts := make(map[string]int)
	for i, a := range answers {
		if m := all[i%messages]; a.status == http.StatusOK {
			texts[m.id]++
			k.got = append(k.got, opened{m.id, claimOf(i), a.body})
		}
	}
	for _, m := range all {
		if texts[m.id] != m.reads {
			k.t.Errorf("%d openers got the text of a message with %d reads", texts[m.id], m.reads)
		}
	}
	for _, o := range k.got {
		if a := k.openUntilKnown(k.client, o.id, o.claim); a.status != http.StatusOK || a.body != o.body {
			k.t.Fatalf("a claim again: got %d %s, want %s", a.status, a.body, o.body)
		}
	}
}

// endClaims ends all claims. Then no text is needed.
func (k *killing) endClaims() {
	k.t.Helper()
	for _, o := range k.got {
		if a := k.must(k.client, http.MethodDelete, "/msg/"+o.id, "", "Authorization", "Bearer "+o.claim); a.status != http.StatusNoContent {
			k.t.Errorf("ending a claim: got %d %s, want 204", a.status, a.body)
		}
	}
	k.t.Logf("%d openings got the text", len(k.got))
}

// textsInFile returns how many texts of limited messages the embedded store has.
func textsInFile(t *testing.T, path string) (texts int) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("messages")).ForEach(func(key, _ []byte) error {
			if len(key) > 16 {
				texts++
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// expectNoTexts looks for texts in Redis, and in its log once that is rewritten.
func expectNoTexts(t *testing.T, redis *redisServer) {
	t.Helper()
	const text = "msg:{"
	if keys, ok := redis.Do("keys", text+"*").([]any); !ok || len(keys) > 0 {
		t.Errorf("texts are left in Redis: %v", keys)
	}
	redis.Do("bgrewriteaof")
	eventually(t, time.Minute, "no text in Redis's log", func() bool {
		files, err := filepath.Glob(filepath.Join(redis.Dir, "appendonlydir", "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("Redis's log: %d files, %v", len(files), err)
		}
		for _, name := range files {
			if content, err := os.ReadFile(name); err != nil || strings.Contains(string(content), text) {
				return false
			}
		}
		return true
	})
}

// An operator takes a message down by its link, on the operations listener: it is a
// 410 from then on, the log names the event and no id, and the metric counts it.
func TestTakedown(t *testing.T) {
	redis := startRedis(t)
	for name, args := range map[string][]string{
		"file":  {"--store=file:" + filepath.Join(t.TempDir(), "messages.db")},
		"redis": {"--store=" + redis.URL(true)},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := start(t, args...), client(2)
			link, err := s.post(c, "plain")
			if err != nil {
				t.Fatal(err)
			}
			_, plain, _ := strings.Cut(link, "/msg/")
			limited := s.limited(c, 1).MessageID
			claimed := s.limited(c, 1).MessageID
			if a, err := s.open(c, claimed, claimOf(1)); err != nil || a.status != http.StatusOK {
				t.Fatalf("opening: %d %v", a.status, err)
			}
			takeDown := func(id string) int {
				t.Helper()
				request, err := http.NewRequest(http.MethodDelete, "http://"+s.ops+"/msg/"+id, nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				return answer.StatusCode
			}
			for _, id := range []string{plain, limited, claimed} {
				if got := takeDown(id); got != http.StatusNoContent {
					t.Errorf("takedown: got %d, want 204", got)
				}
				a := s.must(c, http.MethodGet, "/msg/"+id, "")
				var problem api.Problem
				if err := json.Unmarshal([]byte(a.body), &problem); err != nil || a.status != http.StatusGone || problem.TakenDownAt == nil {
					t.Errorf("reading after it: got %d %s, want 410 with taken_down_at", a.status, a.body)
				}
			}
			if a, err := s.open(c, claimed, claimOf(1)); err != nil || a.status != http.StatusGone {
				t.Errorf("a live claim after it: got %d %v, want 410", a.status, err)
			}
			byCommand := s.limited(c, 1).MessageID
			for link, code := range map[string]int{"https://msg.example/msg/" + byCommand + "#1secret": 0, "00000000-0000-4000-8000-000000000000": 1} {
				command := program(t, nil, "takedown", link, "--listen-ops="+s.ops)
				if out, _ := command.CombinedOutput(); command.ProcessState.ExitCode() != code {
					t.Errorf("the command: exit %d, want %d: %s", command.ProcessState.ExitCode(), code, out)
				}
			}
			if a := s.must(c, http.MethodGet, "/msg/"+byCommand, ""); a.status != http.StatusGone {
				t.Errorf("reading after the command: got %d, want 410", a.status)
			}
			if got := takeDown("00000000-0000-4000-8000-000000000000"); got != http.StatusNotFound {
				t.Errorf("takedown of nothing: got %d, want 404", got)
			}
			if got := s.scrape()[`message_events_total{event="taken_down"}`]; got != 4 {
				t.Errorf("the metric counts %v, want 4", got)
			}
			s.stop()
			log := s.stdout.String()
			if got := strings.Count(log, `"event":"taken_down"`); got != 4 {
				t.Errorf("the log names %d takedowns, want 4: %s", got, log)
			}
			for _, id := range []string{plain, limited, claimed, byCommand} {
				if strings.Contains(log, id) {
					t.Errorf("the log holds an id")
				}
			}
		})
	}
	expectNoTexts(t, redis)
}

// Clients of the original API see on a plain message what they always saw.
func TestOriginalMethods(t *testing.T) {
	s := start(t)
	for _, protocol := range []int{1, 2} {
		c := client(protocol)
		link, err := s.post(c, "plain")
		if err != nil {
			t.Fatal(err)
		}
		_, id, _ := strings.Cut(link, "/msg/")
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			for _, body := range []string{"", "x", `{"claim":"0123456789abcdef"}`, strings.Repeat("x", 100_000)} {
				a := s.must(c, method, "/msg/"+id, body)
				if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" || a.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("HTTP/%d %s %.40q: got %d, Allow %q, %s", protocol, method, body, a.status, a.header.Get("Allow"), a.body)
				}
			}
		}
		if status, text, err := s.get(c, link); err != nil || status != http.StatusOK || text != "plain" {
			t.Errorf("HTTP/%d: reading after that: %d %q %v", protocol, status, text, err)
		}
	}
	s.stop()
}
