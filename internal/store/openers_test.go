package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// Exactly as many of 100 openers at once get the text as there are reads, in each
// form of the store, and by way of two stores with connections of their own. What
// an opener with a claim got, it gets again.
func TestOpeners(t *testing.T) {
	for name, open := range map[string]func(*testing.T) []message.Store{
		"file": func(t *testing.T) []message.Store {
			return []message.Store{openBolt(t, filepath.Join(t.TempDir(), "messages.db"))}
		},
		"redis": func(t *testing.T) []message.Store {
			server := startRedis(t, redisSetup{})
			return []message.Store{server.open(), server.open()}
		},
		"Cluster of three": func(t *testing.T) []message.Store {
			url := clusterURL(startCluster(t, 3))
			return []message.Store{openRedis(t, url, nil), openRedis(t, url, nil)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			stores := open(t)
			for _, reads := range []int{1, 3, message.MaxReads} {
				openAtOnce(t, stores, reads)
			}
		})
	}
}

func openAtOnce(t *testing.T, stores []message.Store, reads int) {
	t.Helper()
	const openers = 100
	c := createLimited(t, stores[0], reads)
	var mu sync.Mutex
	got := make(map[string]message.Message) // by claim; guarded by mu
	var all sync.WaitGroup
	for i := range openers {
		all.Go(func() {
			claim := fmt.Sprint("claim ", i)
			m, err := openUntilKnown(t, message.NewBox(stores[i%len(stores)]), c, claim)
			var gone *message.GoneError
			switch {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				got[claim] = m
			case !errors.As(err, &gone):
				t.Errorf("%d reads, %s: %v", reads, claim, err)
			}
		})
	}
	all.Wait()
	if len(got) != reads {
		t.Errorf("%d of %d openers got the text, want %d", len(got), openers, reads)
	}
	for i := range openers {
		claim := fmt.Sprint("claim ", i)
		m, err := openUntilKnown(t, message.NewBox(stores[(i+1)%len(stores)]), c, claim)
		if first, ok := got[claim]; ok != (err == nil) || m.Left != first.Left || !bytes.Equal(m.Text, first.Text) {
			t.Errorf("%d reads, %s again: %+v, %v, want %+v", reads, claim, m, err, first)
		}
	}
}

func createLimited(t *testing.T, s message.Store, reads int) message.Created {
	t.Helper()
	c, err := message.NewBox(s).Create(t.Context(), message.Draft{Text: []byte("hello"), TTL: time.Hour, Reads: reads}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// openUntilKnown opens a message. While the store is unavailable, as on a busy
// machine, it asks again with its claim.
func openUntilKnown(t *testing.T, box *message.Box, c message.Created, claim string) (m message.Message, err error) {
	err = message.ErrUnavailable
	for errors.Is(err, message.ErrUnavailable) && t.Context().Err() == nil {
		m, err = box.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: claim}, time.Now())
	}
	return m, err
}

// A freezing store is one whose server stops responding from the moment at which an
// opening has read the message, until it is told to go on.
type freezing struct {
	*store.Redis
	freeze func()
}

func (f freezing) Get(ctx context.Context, key message.Key) ([]byte, error) {
	record, err := f.Redis.Get(ctx, key)
	f.freeze()
	return record, err
}

// An opening that is cut off between its two steps uses up one read at most, and
// its claim gets the text later.
func TestOpeningCutOffBetweenItsSteps(t *testing.T) {
	server := startRedis(t, redisSetup{})
	signal := func(sig os.Signal) {
		t.Helper()
		if err := server.process.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	s := server.open()
	c := createLimited(t, s, 2)
	cut := message.NewBox(freezing{s, func() { signal(syscall.SIGSTOP) }})
	_, err := cut.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: "A"}, time.Now())
	wantError(t, "an opening that Redis does not answer", err, message.ErrUnavailable)
	signal(syscall.SIGCONT)
	box := message.NewBox(s)
	if m, err := openUntilKnown(t, box, c, "A"); err != nil || string(m.Text) != "hello" || m.Left != 1 {
		t.Errorf("claim A afterwards: %+v, %v, want the text and one read left", m, err)
	}
	if m, err := openUntilKnown(t, box, c, "B"); err != nil || m.Left != 0 {
		t.Errorf("claim B: %+v, %v, want the last read", m, err)
	}
	var gone *message.GoneError
	if m, err := openUntilKnown(t, box, c, "C"); !errors.As(err, &gone) || len(gone.Opened) != 2 {
		t.Errorf("claim C: %+v, %v, want a GoneError with two openings", m, err)
	}
}

// An opening asks Redis twice, a plain message is stored and read with one command
// each, and refusals of an opening take one. Each read asks for the role too.
func TestRoundTripsOfAnOpening(t *testing.T) {
	server := startRedis(t, redisSetup{})
	s := server.open()
	box := message.NewBox(s)
	open := func(c message.Created, claim string) func() error {
		return func() error {
			_, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: claim}, time.Now())
			return err
		}
	}
	c := createLimited(t, s, 1)
	var plain message.Created
	for _, step := range []struct {
		name string
		run  func() error
		want []string
	}{
		{"an opening", open(c, "A"), []string{"get", "role", "eval"}},
		{"its repetition", open(c, "A"), []string{"get", "role", "eval"}},
		{"a refusal", open(c, "B"), []string{"get", "role"}},
		{"a plain creation", func() (err error) {
			plain, err = box.Create(t.Context(), message.Draft{Text: []byte("x"), TTL: time.Hour}, time.Now())
			return err
		}, []string{"set"}},
		{"a plain read", func() error { _, err := box.Read(t.Context(), plain.ID.Reveal(), time.Now()); return err }, []string{"get", "role"}},
	} {
		m := startMonitor(t, server)
		var gone *message.GoneError
		if err := step.run(); err != nil && !errors.As(err, &gone) {
			t.Errorf("%s: %v", step.name, err)
		}
		if got := asked(m.output()); strings.Join(got, " ") != strings.Join(step.want, " ") {
			t.Errorf("%s asked %q, want %q", step.name, got, step.want)
		}
	}
}

// asked returns the commands that clients sent, in their order, without those in
// scripts and without logins and marks.
func asked(output string) (names []string) {
	for line := range strings.Lines(output) {
		found := monitored.FindStringSubmatch(line)
		if found == nil || strings.Contains(line, " lua] ") {
			continue
		}
		switch name := strings.ToLower(found[1]); name {
		case "hello", "auth", "echo":
		default:
			names = append(names, name)
		}
	}
	return names
}

// When the last claim is over the text is nowhere in Redis, nor in its log once that
// is rewritten, and the record still says what became of the message.
func TestNoTextIsLeftInRedis(t *testing.T) {
	server := startRedis(t, redisSetup{})
	s := server.open()
	for name, end := range map[string]func(*message.Box, message.Created) error{
		"a last read without a claim": func(b *message.Box, c message.Created) error {
			_, err := b.Open(t.Context(), c.ID.Reveal(), message.Opening{}, time.Now())
			return err
		},
		// The box ends the claim with the message, two seconds later by the time that
		// it is told. Redis, which goes by its own clock, has an hour for the record.
		"the end of a claim": func(b *message.Box, c message.Created) error {
			_, err := b.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: "A"}, c.Expires.Add(-2*time.Second))
			return err
		},
		"a claim that its reader ends": func(b *message.Box, c message.Created) error {
			_, err := b.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: "A"}, time.Now())
			if err == nil {
				_, err = b.Withdraw(t.Context(), c.ID.Reveal(), "A", time.Now())
			}
			return err
		},
		"taking back": func(b *message.Box, c message.Created) error {
			_, err := b.Withdraw(t.Context(), c.ID.Reveal(), c.Owner.Reveal(), time.Now())
			return err
		},
		"a takedown": func(b *message.Box, c message.Created) error {
			return b.TakeDown(t.Context(), c.ID.Reveal(), time.Now())
		},
	} {
		server.do("flushall")
		box := message.NewBox(s)
		c := createLimited(t, s, 1)
		names := textsIn(t, server)
		if len(names) != 1 {
			t.Fatalf("%s: the texts in Redis are %q, want one", name, names)
		}
		sealed := fmt.Sprint(server.do("get", names[0]))
		if !logHolds(t, server, sealed) {
			t.Fatalf("%s: the text is not in Redis's log", name)
		}
		if err := end(box, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		eventually(t, name+": no text is left", func() error {
			if left := textsIn(t, server); len(left) > 0 {
				return fmt.Errorf("%q", left)
			}
			return nil
		})
		server.do("bgrewriteaof")
		eventually(t, name+": the text is not in Redis's log", func() error {
			if logHolds(t, server, sealed) {
				return errors.New("it is")
			}
			return nil
		})
		var gone *message.GoneError
		if _, err := box.Read(t.Context(), c.ID.Reveal(), time.Now()); !errors.As(err, &gone) {
			t.Errorf("%s: Read afterwards: %v, want a GoneError", name, err)
		}
	}
}

// textsIn returns the keys of all texts that Redis has.
func textsIn(t *testing.T, server *redisServer) (names []string) {
	t.Helper()
	for cursor := uint64(0); ; {
		found, next, err := server.admin.Scan(t.Context(), cursor, "msg:{*", 100).Result()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
		if cursor = next; cursor == 0 {
			return names
		}
	}
}

// logHolds reports whether the append-only files hold these bytes.
func logHolds(t *testing.T, server *redisServer, sealed string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.dir, "appendonlydir", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("Redis's log: %d files, %v", len(files), err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a rewrite removes files
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(sealed)) {
			return true
		}
	}
	return false
}

// A Redis that is killed has everything after its start that it answered before. A
// script that writes twice is a transaction in its log, and Redis loads one with the
// rights of its default user.
func TestRedisLoadsWhatScriptsWrote(t *testing.T) {
	server := startRedis(t, redisSetup{})
	s := server.open()
	box := message.NewBox(s)
	restart := func() {
		server.kill()
		server.start()
	}
	c := createLimited(t, s, 2)
	restart()
	for i, claim := range []string{"A", "B"} {
		if m, err := openUntilKnown(t, box, c, claim); err != nil || m.Left != 1-i {
			t.Fatalf("claim %s: %+v, %v, want the text and %d left", claim, m, err, 1-i)
		}
		restart()
	}
	for i, claim := range []string{"A", "B"} {
		if m, err := openUntilKnown(t, box, c, claim); err != nil || !m.Repeat || m.Left != 1-i {
			t.Errorf("claim %s again: %+v, %v, want the same", claim, m, err)
		}
	}
	if ttl := server.do("pttl", textsIn(t, server)[0]).(int64); ttl <= 0 || ttl > message.ClaimLife.Milliseconds() {
		t.Errorf("the text lives for %d ms, want at most as long as the claims", ttl)
	}
	for _, claim := range []string{"A", "B"} {
		if _, err := box.Withdraw(t.Context(), c.ID.Reveal(), claim, time.Now()); err != nil {
			t.Errorf("ending claim %s: %v", claim, err)
		}
	}
	restart()
	var gone *message.GoneError
	if _, err := openUntilKnown(t, box, c, "A"); !errors.As(err, &gone) || len(textsIn(t, server)) > 0 {
		t.Errorf("after all claims were ended: %v and %q, want a GoneError and no text", err, textsIn(t, server))
	}
}
