package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/redistest"
)

// from is client, from an address of 127.0.0.0/8.
func from(address string, protocol int) *http.Client {
	c := client(protocol)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c.Transport.(*http.Transport).DialContext = dialer.DialContext
	return c
}

// An answer is one that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request with these fields, in pairs of name and value.
func (s *service) send(c *http.Client, method, path, body string, fields ...string) (answer, error) {
	request, err := http.NewRequest(method, "https://"+s.address+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "text/plain")
	request.Header.Set("Accept", "application/json")
	for i := 0; i < len(fields); i += 2 {
		request.Header.Set(fields[i], fields[i+1])
	}
	got, err := c.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = got.Body.Close() }()
	all, err := io.ReadAll(got.Body)
	return answer{got.StatusCode, got.Header, string(all)}, err
}

// must is send where nothing can go wrong but the status.
func (s *service) must(c *http.Client, method, path, body string, fields ...string) answer {
	s.t.Helper()
	a, err := s.send(c, method, path, body, fields...)
	if err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
	return a
}

// tooMany checks that an answer is a refusal for want of a budget, and says all
// that a client has to know.
func tooMany(t *testing.T, a answer, budget string) {
	t.Helper()
	if a.status != http.StatusTooManyRequests {
		t.Fatalf("status: got %d %s, want 429", a.status, a.body)
	}
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After: got %q, want whole seconds", a.header.Get("Retry-After"))
	}
	name := strconv.Quote(budget)
	if got := a.header.Get("RateLimit-Policy"); !strings.Contains(got, name+";q=") || !strings.Contains(got, ";w=") {
		t.Errorf("RateLimit-Policy: got %q, want one of %s", got, name)
	}
	if got := a.header.Get("RateLimit"); !strings.Contains(got, name+";r=") || !strings.Contains(got, ";t=") {
		t.Errorf("RateLimit: got %q, want one of %s", got, name)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" || !strings.Contains(a.body, `"status":429`) {
		t.Errorf("the refusal: got %s %s, want a problem", got, a.body)
	}
}

// Clients create until their bytes are spent, one after the other, until the
// store is full: each is told which of the two it is, and nothing that was
// promised is lost.
func TestBytesAreSpentThenTheStoreIsFull(t *testing.T) {
	t.Run("redis", func(t *testing.T) {
		redis := redistest.New(t, "--maxmemory", "16mb")
		fill(t, "--store="+redis.URL(true))
	})
	t.Run("file", func(t *testing.T) {
		fill(t, "--store=file:"+filepath.Join(smallDisk(t, "40m"), "messages.db"))
	})
}

// smallDisk mounts a file system of this size, which takes root.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	switch out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); {
	case err != nil && os.Getenv("CI") == "":
		t.Skipf("NOT TESTED: a full disk: only root on Linux can mount a small one: %v: %s", err, out)
	case err != nil:
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v: %s", err, out)
		}
	})
	return dir
}

func fill(t *testing.T, args ...string) {
	s := startLimited(t, args...)
	const size = 200_000 // the bytes, 4 MiB, are spent before the 30 creations
	promised := make(map[string]string)
	spent, full := 0, false
	for i := 1; !full; i++ {
		if i > 30 {
			t.Fatalf("%d clients have filled their budgets, and the store is not full", i-1)
		}
		c := from(fmt.Sprintf("127.0.1.%d", i), 1+i%2)
	client:
		for n := range 30 {
			start := fmt.Sprintf("client %d, message %d ", i, n)
			text := start + strings.Repeat("x", size-len(start))
			switch a := s.must(c, http.MethodPost, "/", text); a.status {
			case http.StatusOK:
				_, path, _ := strings.Cut(a.header.Get("Location"), s.address)
				promised[path] = text
			case http.StatusInsufficientStorage:
				full = true
				break client
			default:
				tooMany(t, a, "bytes")
				spent++
				break client
			}
		}
	}
	if spent == 0 {
		t.Error("the store was full before a client's bytes were spent")
	}
	read := 0
	for path, text := range promised {
		c := from(fmt.Sprintf("127.0.2.%d", 1+read/50), 1) // fewer reads than a client has
		if a := s.must(c, http.MethodGet, path, "", "Accept", "text/plain"); a.status != http.StatusOK || a.body != text {
			t.Fatalf("a message that got a 200: got %d and %d bytes, want its %d", a.status, len(a.body), len(text))
		}
		read++
	}
	t.Logf("%d clients spent their bytes; %d messages were stored and read", spent, read)
	s.stop()
}

// With as many requests in flight as there may be, the rest is told to come
// back at once, and the probes are answered all the same.
func TestShedsWhatIsOverInFlight(t *testing.T) {
	redis := redistest.New(t)
	s := start(t, "--store="+redis.URL(true), "--in-flight=1")
	c := client(2)
	if _, err := s.post(c, "a connection to the store"); err != nil {
		t.Fatal(err)
	}
	redis.Freeze()
	const requests = 12
	answers := make(chan answer, requests)
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			a, err := s.send(c, http.MethodPost, "/", "x")
			if err != nil {
				t.Error(err)
			}
			answers <- a
		})
	}
	for _, probe := range []string{"/livez", "/readyz"} {
		got, err := http.Get("http://" + s.ops + probe)
		if err != nil {
			t.Fatalf("%s while busy: %v", probe, err)
		}
		_ = got.Body.Close()
		if probe == "/livez" && got.StatusCode != http.StatusOK {
			t.Errorf("/livez while busy: got %d, want 200", got.StatusCode)
		}
	}
	wg.Wait()
	close(answers)
	busy := 0
	for a := range answers {
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("while the store stands still: got %d with Retry-After %q, want 503 with one", a.status, a.header.Get("Retry-After"))
		}
		if strings.Contains(a.body, "too busy") {
			busy++
		}
	}
	// One asks the store, and one that waits may follow it; the rest finds no place.
	if busy < requests-2 {
		t.Errorf("shed: got %d, want at least %d of %d", busy, requests-2, requests)
	}
	redis.Thaw()
	eventually(t, 10*time.Second, "creating again", func() bool { _, err := s.post(c, "x"); return err == nil })
	s.stop()
}

// Who has guessed too often is refused without the store: one that stands still
// is not noticed.
func TestMissesRefuseReadsBeforeTheStoreIsAsked(t *testing.T) {
	redis := redistest.New(t)
	s := startLimited(t, "--store="+redis.URL(true), "--limit-miss=1/h:5")
	link, err := s.post(client(2), "here")
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(link, s.address)
	guesser := from("127.0.3.1", 2)
	for i := range 5 {
		if a := s.must(guesser, http.MethodGet, fmt.Sprintf("/msg/00000000-0000-4000-8000-00000000000%d", i), ""); a.status != http.StatusNotFound {
			t.Fatalf("guess %d: got %d, want 404", i, a.status)
		}
	}
	redis.Freeze()
	defer redis.Thaw()
	for _, target := range []string{path, "/msg/00000000-0000-4000-8000-000000000009", "/msg/x"} {
		tooMany(t, s.must(guesser, http.MethodGet, target, ""), "miss")
	}
	// The store is indeed not there, as those who may ask it find.
	if a := s.must(from("127.0.3.2", 2), http.MethodGet, path, ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("another client: got %d, want 503", a.status)
	}
}

// What a client says of where it comes from counts only where a trusted proxy
// says it.
func TestForwardedForIsBelievedFromTrustedProxiesOnly(t *testing.T) {
	s := startLimited(t, "--limit-create=1/h:3", "--trusted-proxy=127.0.0.1/32")
	create := func(c *http.Client, forwarded string) answer {
		t.Helper()
		return s.must(c, http.MethodPost, "/", "x", "X-Forwarded-For", forwarded)
	}
	proxy, stranger := from("127.0.0.1", 2), from("127.0.0.2", 1)
	for _, who := range []string{"192.0.2.1", "198.51.100.9, 192.0.2.2", "192.0.2.3, 127.0.0.1"} {
		for i := range 3 {
			if a := create(proxy, who); a.status != http.StatusOK {
				t.Fatalf("the proxy, for %s, number %d: got %d, want 200", who, i, a.status)
			}
		}
		tooMany(t, create(proxy, who), "create")
	}
	// The leftmost hop is what a client may have made up.
	tooMany(t, create(proxy, "203.0.113.1, 192.0.2.2"), "create")
	for i := range 3 {
		if a := create(stranger, fmt.Sprintf("203.0.113.%d", i)); a.status != http.StatusOK {
			t.Fatalf("a stranger, number %d: got %d, want 200", i, a.status)
		}
	}
	for _, field := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP"} {
		tooMany(t, s.must(stranger, http.MethodPost, "/", "x", field, "203.0.113.200"), "create")
	}
	s.stop()
}
