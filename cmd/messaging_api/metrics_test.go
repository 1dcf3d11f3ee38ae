package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"messaging_api/internal/api"
)

// scrape returns the value of each of the service's series.
func (s *service) scrape() map[string]float64 {
	s.t.Helper()
	answer, err := http.Get("http://" + s.ops + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	series := make(map[string]float64)
	scanner := bufio.NewScanner(answer.Body)
	for scanner.Scan() {
		name, ours := strings.CutPrefix(scanner.Text(), "messaging_api_")
		at := strings.LastIndexByte(name, ' ')
		if !ours {
			continue
		}
		if series[name[:at]], err = strconv.ParseFloat(name[at+1:], 64); err != nil {
			s.t.Fatalf("a scrape has the line %q: %v", scanner.Text(), err)
		}
	}
	return series
}

// What a series does where it is not known by how much.
var grows, shrinks = math.Inf(1), math.Inf(-1)

// A coverage is which families of metrics services export, and which of them a
// cause was seen to change.
type coverage struct{ exported, changed map[string]bool }

// family is what a series belongs to.
func family(series string) string {
	name, _, _ := strings.Cut(series, "{")
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		name = strings.TrimSuffix(name, part)
	}
	return name
}

// A metered service is one whose metrics have causes.
type metered struct {
	*service
	*coverage
}

// expectChange scrapes before and after the cause, until each series has changed
// by what is wanted: what is counted at the end of a request follows its answer.
func (s metered) expectChange(name string, want map[string]float64, cause func()) {
	s.t.Helper()
	before := s.scrape()
	for series := range before {
		s.exported[family(series)] = true
	}
	cause()
	var wrong []string
	eventually(s.t, time.Minute, name+" changes its metrics", func() bool {
		after := s.scrape()
		wrong = nil
		for series, added := range want {
			got := after[series] - before[series]
			if _, there := after[series]; !there || got != added && (got <= 0 || added != grows) && (got >= 0 || added != shrinks) {
				wrong = append(wrong, fmt.Sprintf("%s: %v more, want %v", series, got, added))
			}
		}
		if wrong != nil {
			s.t.Logf("%s: %v", name, wrong)
		}
		return wrong == nil
	})
	for series, added := range want {
		s.changed[family(series)] = s.changed[family(series)] || added != 0
	}
}

// Each family of the metrics of the real program, with either store, changes when
// its cause does.
func TestMetricsHaveCauses(t *testing.T) {
	seen := &coverage{make(map[string]bool), make(map[string]bool)}
	parts := map[string]func(*testing.T, *coverage){
		"start": causesAtStart, "requests": causesInRequests, "clients": causesInClients, "shared": causesInSharedLimits, "connections": causesInConnections,
		"Redis": causesInRedis, "file": causesInTheFile, "log": causesInTheLog, "certificate": causesInTheCertificate,
		"proxy": causesInTheProxy,
	}
	ran := 0
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			part(t, seen)
			ran++
		})
	}
	if ran < len(parts) {
		return // by -run, or for want of a tool; what went wrong has been said
	}
	// What no test of a process can bring about, and why.
	untested := map[string]string{
		"store_clock_jumps_total": "a test must not set the machine's clock; see internal/store/boltclock_test.go",
	}
	for name := range seen.exported {
		if seen.changed[name] == (untested[name] != "") {
			t.Errorf("messaging_api_%s is exported: a cause here changes it: %t, want %t", name, seen.changed[name], untested[name] == "")
		}
	}
}

// causesAtStart are those of what is the same for as long as the program runs.
func causesAtStart(t *testing.T, seen *coverage) {
	s := start(t)
	version, revision := build()
	running := fmt.Sprintf(`build_info{goversion=%q,revision=%q,version=%q}`, runtime.Version(), revision, version)
	if got := s.scrape()[running]; got != 1 {
		t.Errorf("%s: got %v, want 1", running, got)
	}
	seen.changed["build_info"] = true
}

// status asks for a path and returns the status.
func (s *service) status(c *http.Client, method, path string, body io.Reader) int {
	s.t.Helper()
	request, err := http.NewRequest(method, "https://"+s.address+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "text/plain")
	answer, err := c.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

// causesInRequests are what requests do.
func causesInRequests(t *testing.T, seen *coverage) {
	s := metered{startLimited(t, "--limit-create=1/h:2", "--limit-read=1/h:4", "--limit-miss=1/h:2", "--conns-per-client=2",
		"--listen-http=127.0.0.1:0", "--store=file:"+filepath.Join(t.TempDir(), "messages.db")), seen}
	c := client(1)
	var link string
	s.expectChange("a creation", map[string]float64{
		`http_requests_total{protocol="HTTP/1.1",route="/",status="200"}`: 1,
		`http_request_duration_seconds_count{route="/"}`:                  1,
		`messages_created_total`:                                          1,
		`messages_created_bytes_total`:                                    grows,
		`store_calls_total{op="put",outcome="ok"}`:                        1,
		`store_duration_seconds_count{op="put"}`:                          1,
		`connections_total`:                                               1,
		`connections_open`:                                                1,
		`tls_handshakes_total{resumed="false",version="1.3"}`:             1,
		`limit_clients`:                                                   1,
	}, func() {
		var err error
		if link, err = s.post(c, "hello"); err != nil {
			t.Fatal(err)
		}
	})
	size := s.scrape()["messages_created_bytes_total"]
	if size < float64(len("hello")) || size > 100 {
		t.Errorf("the bytes of a small message: got %v", size)
	}
	s.expectChange("a read", map[string]float64{
		`http_requests_total{protocol="HTTP/1.1",route="/msg/{id}",status="200"}`: 1,
		`messages_read_total`:                            1,
		`messages_read_bytes_total`:                      size,
		`store_calls_total{op="get",outcome="ok"}`:       1,
		`store_duration_seconds_count{op="get"}`:         1,
		`messages_missed_total`:                          0,
		`connections_total`:                              0,
		`http_request_duration_seconds_count{route="/"}`: 0,
	}, func() {
		if status, _, err := s.get(c, link); err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
	})
	causesInLimitedMessages(t, seen)
	s.expectChange("two guesses, and one that is refused", map[string]float64{
		`http_requests_total{protocol="HTTP/1.1",route="/msg/{id}",status="404"}`: 2,
		`http_requests_total{protocol="HTTP/1.1",route="/msg/{id}",status="429"}`: 1,
		`messages_missed_total`:                           2,
		`store_calls_total{op="get",outcome="not_found"}`: 1,
		`limit_refusals_total{limit="miss"}`:              1,
	}, func() {
		s.status(c, "GET", "/msg/00000000-0000-4000-8000-000000000000", nil)
		s.status(c, "GET", "/msg/x", nil)
		s.status(c, "GET", "/msg/y", nil)
	})
	s.expectChange("a creation too many", map[string]float64{
		`limit_refusals_total{limit="create"}`: 1,
		`limit_refusals_total{limit="other"}`:  0,
		`messages_created_total`:               1,
	}, func() {
		s.status(c, "POST", "/", strings.NewReader("x"))
		s.status(c, "POST", "/", strings.NewReader("x"))
	})
	s.expectChange("HTTP/2 in a place of its own", map[string]float64{
		`http_requests_total{protocol="HTTP/2.0",route="/",status="200"}`: 1,
		`connections_open`: 1,
	}, func() { s.status(client(2), "GET", "/", nil) })
	s.expectChange("a connection too many", map[string]float64{
		`connections_total`: 1,
		`connections_open`:  0,
		`connections_refused_total{limit="conns-per-client"}`: 1,
	}, func() {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	})
	s.expectChange("a redirect", map[string]float64{
		`http_requests_total{protocol="HTTP/1.1",route="plain",status="308"}`: 1,
	}, func() {
		follow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		answer, err := follow.Get("http://" + s.http + "/x")
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	})
	for _, series := range []string{`certificate_expiry_timestamp_seconds{name="self-signed"}`, "store_used_bytes", "store_limit_bytes"} {
		if s.scrape()[series] <= 0 {
			t.Errorf("%s: got %v", series, s.scrape()[series])
		}
	}
	for _, check := range []string{"store", "certificate", "draining"} {
		if s.scrape()[`check_ok{check="`+check+`"}`] != 1 {
			t.Errorf("the check %s does not pass", check)
		}
	}
}

// causesInConnections are what is refused before there is a request.
func causesInConnections(t *testing.T, seen *coverage) {
	s := metered{startLimited(t, "--handshakes-per-client=1/h:3", "--conns-per-client=0"), seen}
	begin := func(speak func(net.Conn)) func() {
		return func() {
			conn, err := net.Dial("tcp", s.address)
			if err != nil {
				return // closed before it was seen open
			}
			speak(conn)
			_ = conn.Close()
		}
	}
	s.expectChange("a client that leaves", map[string]float64{`tls_handshake_failures_total{reason="closed"}`: 1},
		begin(func(net.Conn) {}))
	s.expectChange("plain HTTP", map[string]float64{
		`tls_handshake_failures_total{reason="not_tls"}`:                      1,
		`http_requests_total{protocol="HTTP/1.1",route="other",status="400"}`: 1,
	}, begin(func(c net.Conn) {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}))
	s.expectChange("an old client", map[string]float64{`tls_handshake_failures_total{reason="version"}`: 1},
		begin(func(c net.Conn) {
			_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake()
		}))
	s.expectChange("a fourth connection", map[string]float64{`connections_refused_total{limit="handshakes-per-client"}`: 1},
		begin(func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }))
}

// causesInLimitedMessages are those of opening messages.
func causesInLimitedMessages(t *testing.T, seen *coverage) {
	s := metered{start(t), seen}
	c := client(1)
	var created api.Created
	answer, err := c.Post("https://"+s.address+"/", "application/json", strings.NewReader(`{"message":"hello","reads":1}`))
	if err != nil {
		t.Fatal(err)
	}
	err = json.NewDecoder(answer.Body).Decode(&created)
	_ = answer.Body.Close()
	if err != nil || created.MessageID == "" {
		t.Fatalf("a limited message: %d, %v", answer.StatusCode, err)
	}
	s.expectChange("an opening, twice with one claim", map[string]float64{
		`message_events_total{event="opened"}`:      1,
		`message_events_total{event="repeated"}`:    1,
		`store_calls_total{op="swap",outcome="ok"}`: 2,
	}, func() {
		for range 2 {
			s.must(c, http.MethodPost, "/msg/"+created.MessageID, `{"claim":"0123456789abcdef"}`, "Content-Type", "application/json")
		}
	})
}

// causesInClients are what the limits make of them.
func causesInClients(t *testing.T, seen *coverage) {
	s := metered{startLimited(t, "--limit-clients=1"), seen}
	s.expectChange("a client", map[string]float64{"limit_clients": 1, "limit_overflow_total": 0}, func() {
		s.must(from("127.0.7.1", 2), http.MethodPost, "/", "x")
	})
	s.expectChange("a client for whom there is no room", map[string]float64{"limit_clients": 0, "limit_overflow_total": grows}, func() {
		s.must(from("127.0.7.2", 2), http.MethodPost, "/", "x")
	})
}

// causesInSharedLimits are a Redis that does not decide.
func causesInSharedLimits(t *testing.T, seen *coverage) {
	redis := startRedis(t)
	s := metered{startLimited(t, "--store="+redis.URL(true), "--limit-scope=shared"), seen}
	redis.Kill()
	s.expectChange("a decision without Redis", map[string]float64{"limit_fallbacks_total": grows}, func() {
		s.must(client(2), http.MethodPost, "/", "x")
	})
}

// causesInRedis are a store that comes back, and one that hangs.
func causesInRedis(t *testing.T, seen *coverage) {
	redis := startRedis(t)
	s := metered{start(t, "--store="+redis.URL(true)+"?pool_size=1&pool_timeout=100ms", "--in-flight=1"), seen}
	c := client(2)
	creating := func() int { return s.must(c, http.MethodPost, "/", "x").status }
	redis.Kill()
	if got := creating(); got != http.StatusServiceUnavailable {
		t.Errorf("creating without a store: got %d, want 503", got)
	}
	eventually(t, time.Minute, "not ready", func() bool { return s.scrape()[`check_ok{check="store"}`] == 0 })
	s.expectChange("a store that comes back", map[string]float64{
		`store_connections_open`:                   1,
		`store_connections_idle`:                   1,
		`store_calls_total{op="put",outcome="ok"}`: 1,
		`check_ok{check="store"}`:                  1,
	}, func() {
		redis.Start()
		eventually(t, time.Minute, "creating", func() bool { return creating() == http.StatusOK })
	})
	over := make(chan struct{})
	var clients sync.WaitGroup
	leave := sync.OnceFunc(func() {
		close(over)
		clients.Wait()
	})
	defer leave() // before the test is over, whatever becomes of it
	s.expectChange("a store that hangs, and requests too many", map[string]float64{
		`http_requests_in_flight`:                       1,
		`http_requests_shed_total`:                      grows,
		`limit_refusals_total{limit="other"}`:           0,
		`store_calls_total{op="put",outcome="timeout"}`: grows,
		`store_writable`:                                -1,
		`store_connections_idle`:                        -1,
		`store_connection_timeouts_total`:               grows, // of the probe, which finds no connection
		`check_ok{check="store"}`:                       -1,
	}, func() {
		redis.Freeze()
		for range 3 {
			clients.Go(func() {
				for !isClosed(over) {
					if a, err := s.send(c, http.MethodPost, "/", "x"); err != nil || a.status != http.StatusServiceUnavailable {
						t.Errorf("creating while the store hangs: got %d and %v, want 503", a.status, err)
					}
				}
			})
		}
	})
	leave()
	s.expectChange("a store that works again", map[string]float64{`check_ok{check="store"}`: 1, `store_writable`: 1, `store_connections_idle`: 1}, redis.Thaw)
}

// causesInTheFile are what fills the disk.
func causesInTheFile(t *testing.T, seen *coverage) {
	dir, small := ownDisk(t, "32m")
	if !small {
		t.SkipNow()
	}
	s := metered{start(t, "--store=file:"+filepath.Join(dir, "messages.db")), seen}
	s.expectChange("messages", map[string]float64{"store_used_bytes": grows}, func() {
		for range 10 {
			s.must(client(2), http.MethodPost, "/", strings.Repeat("x", 200_000))
		}
	})
	s.expectChange("what others keep on the disk", map[string]float64{
		"store_limit_bytes": -8 << 20,
		"store_used_bytes":  0,
	}, func() {
		if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	s.expectChange("a message for which there is no room", map[string]float64{
		`store_calls_total{op="put",outcome="full"}`:                      1,
		`http_requests_total{protocol="HTTP/2.0",route="/",status="507"}`: 1,
		`store_writable`: -1,
	}, func() {
		if err := os.WriteFile(filepath.Join(dir, "more"), make([]byte, 32<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("filling the disk: got %v", err)
		}
		s.must(client(2), http.MethodPost, "/", "x")
	})
}

// causesInTheCertificate are one that takes the place of another.
func causesInTheCertificate(t *testing.T, seen *coverage) {
	service, pair := startWithFiles(t)
	s := metered{service, seen}
	s.expectChange("a later certificate", map[string]float64{
		fmt.Sprintf("certificate_expiry_timestamp_seconds{name=%q}", pair.Cert): grows,
	}, func() {
		selfIssued(t, pair, 2, time.Now().Add(2*time.Hour))
		s.signal(syscall.SIGHUP)
	})
}

// causesInTheProxy are requests whose client it does not name.
func causesInTheProxy(t *testing.T, seen *coverage) {
	s := metered{start(t, "--trusted-proxy=127.0.0.0/8"), seen}
	s.expectChange("a request without X-Forwarded-For", map[string]float64{"unforwarded_requests_total": grows}, func() {
		s.must(client(1), http.MethodGet, "/", "")
	})
}

// causesInTheLog are files that cannot be written: their lines are lost.
func causesInTheLog(t *testing.T, seen *coverage) {
	dir := filepath.Join(t.TempDir(), "logs")
	s := metered{start(t, "--log-dir="+dir), seen}
	link, err := s.post(client(1), "x")
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(link, s.address)
	conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	var load sync.WaitGroup
	defer load.Wait()
	defer func() { _ = conn.Close() }()
	s.expectChange("a folder that is gone", map[string]float64{"log_lines_lost_total": grows}, func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		// Lines wait in memory for the folder, some megabytes of them.
		load.Go(func() {
			for requests := strings.Repeat("HEAD "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n", 100); err == nil; {
				_, err = io.WriteString(conn, requests) // until the test closes it
			}
		})
		load.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	})
}
