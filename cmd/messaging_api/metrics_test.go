package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/redistest"
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

// expectChange scrapes before and after the cause, until each series has grown
// by what is wanted: what is counted at the end of a request follows its answer.
func (s *service) expectChange(name string, want map[string]float64, cause func()) {
	s.t.Helper()
	before := s.scrape()
	cause()
	var wrong []string
	eventually(s.t, 20*time.Second, name+" changes its metrics", func() bool {
		after := s.scrape()
		wrong = nil
		for series, added := range want {
			if got := after[series] - before[series]; got != added {
				wrong = append(wrong, fmt.Sprintf("%s: %v more, want %v", series, got, added))
			}
		}
		if wrong != nil {
			s.t.Logf("%s: %v", name, wrong)
		}
		return wrong == nil
	})
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

// What requests do shows in the metrics of the real program.
func TestMetricsOfRequests(t *testing.T) {
	s := startLimited(t, "--limit-create=1/h:2", "--limit-read=1/h:4", "--limit-miss=1/h:2", "--conns-per-client=2",
		"--listen-http=127.0.0.1:0", "--store=file:"+filepath.Join(t.TempDir(), "messages.db"))
	c := client(1)
	var link string
	s.expectChange("a creation", map[string]float64{
		`http_requests_total{protocol="HTTP/1.1",route="/",status="200"}`: 1,
		`http_request_duration_seconds_count{route="/"}`:                  1,
		`messages_created_total`:                                          1,
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

// What is refused before there is a request shows too.
func TestMetricsOfConnections(t *testing.T) {
	s := startLimited(t, "--handshakes-per-client=1/h:3", "--conns-per-client=0")
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

// What a store does that is slow, and then gone, shows; and that it is back.
func TestMetricsOfTheStore(t *testing.T) {
	redis := redistest.New(t)
	s := start(t, "--store="+redis.URL(true), "--in-flight=1")
	c := client(1)
	if _, err := s.post(c, "x"); err != nil {
		t.Fatal(err)
	}
	if got := s.scrape(); got["store_connections_open"] < 1 {
		t.Errorf("connections to Redis: got %v", got["store_connections_open"])
	}
	s.expectChange("a store that hangs, and a request too many", map[string]float64{
		`http_requests_shed_total`:                          1,
		`limit_refusals_total{limit="other"}`:               0,
		`store_calls_total{op="put",outcome="unavailable"}`: 1,
		`check_ok{check="store"}`:                           -1,
	}, func() {
		redis.Freeze()
		hanging := make(chan int, 1)
		go func() { hanging <- s.status(c, "POST", "/", strings.NewReader("x")) }()
		eventually(t, 10*time.Second, "a request in flight", func() bool { return s.scrape()["http_requests_in_flight"] == 1 })
		if status := s.status(client(1), "POST", "/", strings.NewReader("x")); status != http.StatusServiceUnavailable {
			t.Errorf("a request too many: got %d", status)
		}
		if status := <-hanging; status != http.StatusServiceUnavailable {
			t.Errorf("the one that hung: got %d", status)
		}
	})
	s.expectChange("a store that works again", map[string]float64{`check_ok{check="store"}`: 1}, redis.Thaw)
}

// A file of the log that cannot be written shows as lines that are lost.
func TestMetricsOfTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	s := start(t, append(noLimits(), "--log-dir="+dir)...)
	link, err := s.post(client(1), "x")
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(link, s.address)
	if lost, there := s.scrape()["log_lines_lost_total"]; lost != 0 || !there {
		t.Errorf("lost lines: got %v, there: %v", lost, there)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	// Lines wait in memory for the folder, some megabytes of them.
	conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	var load sync.WaitGroup
	load.Go(func() {
		for requests := strings.Repeat("HEAD "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n", 100); err == nil; {
			_, err = io.WriteString(conn, requests) // until the test closes it
		}
	})
	load.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	defer load.Wait()
	defer func() { _ = conn.Close() }()
	eventually(t, time.Minute, "lost lines are counted", func() bool { return s.scrape()["log_lines_lost_total"] > 0 })
}
