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

	"messaging_api/internal/limit"
	"messaging_api/internal/web"
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
		redis := startRedis(t, "--maxmemory", "16mb")
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
	s := startLimited(t, append(args, "--limit-bytes=64KiB/s:4MiB")...)
	const size = 200_000 // the bytes are spent before the 30 creations
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

// A client that has no bytes left is refused before its body is read, if it says how
// long the body is.
func TestBytesAreJudgedBeforeTheBody(t *testing.T) {
	s := startLimited(t, "--limit-bytes=1kB/h:263kB") // nothing comes back meanwhile
	text := strings.Repeat("x", 200_000)
	a := s.must(from("127.0.4.1", 1), http.MethodPost, "/", text)
	if got := a.header.Get("RateLimit"); a.status != http.StatusOK || !strings.Contains(got, `"bytes";r=62488;`) {
		t.Fatalf("the first message: got %d with RateLimit %q, want 200 and 200,512 bytes charged", a.status, got)
	}
	for _, protocol := range []int{1, 2} {
		c := from(fmt.Sprintf("127.0.4.%d", 2+protocol), protocol)
		s.must(c, http.MethodPost, "/", text)
		request, err := http.NewRequest(http.MethodPost, "https://"+s.address+"/", neverSent(t))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = 200_000
		request.Header.Set("Content-Type", "text/plain")
		request.Header.Set("Expect", "100-continue") // or HTTP/1 may lose the answer with what was sent
		got, err := c.Do(request)
		if err != nil {
			t.Fatalf("HTTP/%d: no answer to a body that is never sent: %v", protocol, err)
		}
		_ = got.Body.Close()
		if got.StatusCode != http.StatusTooManyRequests || !strings.Contains(got.Header.Get("RateLimit"), `"bytes"`) {
			t.Errorf("HTTP/%d: a body that is never sent: got %s with %q, want 429 for bytes", protocol, got.Status, got.Header.Get("RateLimit"))
		}
	}
	s.stop()
}

// A client that does not say how long its body is, is refused after the body was read.
// The wait in the answer is long enough.
func TestRetryAfterIsEnoughForABody(t *testing.T) {
	s := startLimited(t, "--limit-bytes=50kB/s:263kB")
	c := from("127.0.4.9", 1)
	create := func() answer {
		request, err := http.NewRequest(http.MethodPost, "https://"+s.address+"/", io.MultiReader(strings.NewReader(strings.Repeat("x", 200_000))))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "text/plain")
		got, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = got.Body.Close() }()
		body, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{got.StatusCode, got.Header, string(body)}
	}
	var refused answer
	// On a slow machine the bytes come back between two messages.
	eventually(t, time.Minute, "the bytes are spent", func() bool {
		refused = create()
		return refused.status != http.StatusOK
	})
	tooMany(t, refused, "bytes")
	wait, _ := strconv.Atoi(refused.header.Get("Retry-After"))
	<-time.After(time.Duration(wait) * time.Second)
	if a := create(); a.status != http.StatusOK {
		t.Errorf("after Retry-After %d: got %d %s, want 200", wait, a.status, a.body)
	}
	s.stop()
}

// neverSent is a body that blocks until the test ends.
func neverSent(t *testing.T) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	return r
}

// Reads cost what they send: 256 KiB of control characters are six times as much
// in JSON.
func TestReadsArePaidByTheByte(t *testing.T) {
	s := startLimited(t, "--limit-read-bytes=1kB/h:2MB")
	text := strings.Repeat("\x01", 256<<10)
	link, err := s.post(client(2), text)
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(link, s.address)
	c := from("127.0.5.1", 2)
	for i, left := range []int{1, 0} { // the second one makes a debt
		a := s.must(c, http.MethodGet, path, "")
		if a.status != http.StatusOK || len(a.body) < 6*len(text) {
			t.Fatalf("read %d: got %d and %d bytes", i, a.status, len(a.body))
		}
		want := fmt.Sprintf(`"read-bytes";r=%d;`, left*(2_000_000-len(a.body)))
		if got := a.header.Get("RateLimit"); !strings.Contains(got, want) || !strings.Contains(got, `"read";r=`) || !strings.Contains(got, `"miss";r=`) {
			t.Errorf("read %d of %d bytes: RateLimit %q, want %s after read and miss", i, len(a.body), got, want)
		}
	}
	tooMany(t, s.must(c, http.MethodGet, path, ""), "read-bytes")
	if a := s.must(c, http.MethodHead, path, ""); a.status != http.StatusTooManyRequests {
		t.Errorf("HEAD: got %d, want 429", a.status)
	}
	if a := s.must(from("127.0.5.2", 1), http.MethodGet, path, "", "Accept", "text/plain"); a.status != http.StatusOK || a.body != text {
		t.Errorf("another client: got %d and %d bytes", a.status, len(a.body))
	}
	s.stop()
}

// A client that lacks two budgets gets the longer wait: obeying the shorter one
// would lead to the next refusal.
func TestRetryAfterIsTheLongestWait(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		spend  func(limiter, web.Client, http.Header)
		ask    func(limiter, web.Client, http.Header) *web.Denial
		budget string
		wait   int64
	}{
		"creations": {
			[]string{"--limit-create=1/m:1", "--limit-bytes=1MiB/s:1MiB"},
			func(l limiter, c web.Client, h http.Header) { l.Create(c, "", 1, h); l.Stored(c, 1<<20, h) },
			func(l limiter, c web.Client, h http.Header) *web.Denial { return l.Create(c, "", 1<<20, h) },
			"create", 60,
		},
		"bytes": {
			[]string{"--limit-create=1/s:1", "--limit-bytes=1MiB/m:1MiB"},
			func(l limiter, c web.Client, h http.Header) { l.Create(c, "", 1, h); l.Stored(c, 1<<20, h) },
			func(l limiter, c web.Client, h http.Header) *web.Denial { return l.Create(c, "", 1<<20, h) },
			"bytes", 60,
		},
		"reads": {
			[]string{"--limit-read=1/m:1", "--limit-miss=1/s:1", "--limit-read-bytes=1MiB/s:1MiB"},
			func(l limiter, c web.Client, h http.Header) { l.Read(c, h); l.Missed(c, h); l.Sent(c, 1<<20, h) },
			func(l limiter, c web.Client, h http.Header) *web.Denial { return l.Read(c, h) },
			"read", 60,
		},
	} {
		o, _, err := parse(test.args, nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		l := limiter{limit.NewTable(o.Rates, 1), func() {}, false}
		header := make(http.Header)
		test.spend(l, web.Client{}, header)
		got := test.ask(l, web.Client{}, header)
		if got == nil || got.Budget != test.budget || got.RetryAfter != test.wait {
			t.Errorf("%s: got %+v, want to wait %d seconds for %s", name, got, test.wait, test.budget)
		}
		if !strings.HasPrefix(header.Get("RateLimit"), `"`+test.budget+`"`) {
			t.Errorf("%s: RateLimit: got %q", name, header.Get("RateLimit"))
		}
	}
}

// The default --limit-bytes lets a person store what a person needs.
func TestDefaultBytesFitAPerson(t *testing.T) {
	o, _, err := parse(nil, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	// What a person does in an hour: a hundred messages of 1 KiB, and ten of the
	// largest.
	if person := 100*(1<<10+web.MessageOverhead) + 10*int64(o.MaxBytes); o.Rates[limit.Bytes].Burst() < person {
		t.Errorf("the burst is %d bytes, and a person stores %d", o.Rates[limit.Bytes].Burst(), person)
	}
}

// When as many requests are in flight as there may be, others are told to come back
// and do not reach the store. The probes are answered all the same.
func TestShedsWhatIsOverInFlight(t *testing.T) {
	redis := startRedis(t)
	s := start(t, "--store="+redis.URL(true), "--in-flight=1")
	c := client(2)
	if _, err := s.post(c, "a connection to the store"); err != nil {
		t.Fatal(err)
	}
	const calls = `store_calls_total{op="put",outcome="timeout"}`
	before := s.scrape()[calls]
	redis.Freeze()
	busy, admitted := 0, 0
	round := func() bool {
		answers := make(chan answer, 12)
		var wg sync.WaitGroup
		for range cap(answers) {
			wg.Go(func() {
				a, err := s.send(c, http.MethodPost, "/", "x")
				if err != nil {
					t.Error(err)
				}
				answers <- a
			})
		}
		s.expectProbes(t)
		wg.Wait()
		close(answers)
		for a := range answers {
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				t.Errorf("while the store hangs: got %d with Retry-After %q, want 503 with one", a.status, a.header.Get("Retry-After"))
			}
			if strings.Contains(a.body, "too busy") {
				busy++
			} else {
				admitted++
			}
		}
		return busy > 0
	}
	// A slow machine may start them one by one.
	eventually(t, time.Minute, "a request is shed", round)
	if got := s.scrape()[calls] - before; got != float64(admitted) {
		t.Errorf("%d requests were shed and %d were not: the store was asked %v times", busy, admitted, got)
	}
	redis.Thaw()
	eventually(t, time.Minute, "creating again", func() bool { _, err := s.post(c, "x"); return err == nil })
	s.stop()
}

// expectProbes checks that the probes are answered, and that the service is alive.
func (s *service) expectProbes(t *testing.T) {
	t.Helper()
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
}

// A client that has guessed too often is refused without the store: one that hangs
// is not noticed.
func TestMissesRefuseReadsBeforeTheStoreIsAsked(t *testing.T) {
	redis := startRedis(t)
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
