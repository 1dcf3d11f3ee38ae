package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/api"
)

// A refused request has a body that the service does not want to read, and what
// it is to be answered.
type refused struct {
	Name   string
	URL    string
	Method string
	Fields [][2]string
	Size   int // of the body
	Status int
	http1  bool // has no answer of ours in HTTP/2
}

// refusals are the statuses that come before the body is read. The first service
// has no limits, the second has no creation left.
func refusals(free, spent *service) []refused {
	root, text := "https://"+free.address+"/", [2]string{"Content-Type", "text/plain"}
	const large, huge = 300 << 10, 2 << 20
	return []refused{
		{Name: "413", URL: root, Method: "POST", Fields: [][2]string{text}, Size: huge, Status: 413},
		{Name: "415", URL: root, Method: "POST", Fields: [][2]string{{"Content-Type", "image/png"}}, Size: large, Status: 415},
		{Name: "429", URL: "https://" + spent.address + "/", Method: "POST", Fields: [][2]string{text}, Size: huge, Status: 429},
		{Name: "403", URL: root, Method: "POST", Fields: [][2]string{text, {"Origin", "https://evil.example"}}, Size: large, Status: 403},
		{Name: "405", URL: root, Method: "PUT", Fields: [][2]string{text}, Size: huge, Status: 405},
		{Name: "404", URL: root + "x", Method: "POST", Fields: [][2]string{text}, Size: large, Status: 404},
		{Name: "421", URL: root, Method: "POST", Fields: [][2]string{text, {"Host", "other.example"}}, Size: huge, Status: 421},
		{Name: "431", URL: root, Method: "POST", Fields: [][2]string{text, {"X-Long", strings.Repeat("x", 32<<10)}}, Size: large, Status: 431, http1: true},
		{Name: "417", URL: root, Method: "POST", Fields: [][2]string{text, {"Expect", "x"}}, Size: large, Status: 417, http1: true},
		{Name: "501", URL: root, Method: "POST", Fields: [][2]string{text, {"Transfer-Encoding", "gzip"}}, Size: large, Status: 501, http1: true},
	}
}

// startRefusing returns a service without limits, and one on which this machine
// has no creation left.
func startRefusing(t *testing.T, args ...string) (free, spent *service) {
	t.Helper()
	args = append(args, "--host=127.0.0.1", "--host=localhost")
	free = start(t, args...)
	spent = startLimited(t, append(args, "--limit-create=1/d:1", "--handshakes-per-client=off")...)
	if _, err := spent.post(client(1), "the one"); err != nil {
		t.Fatal(err)
	}
	return free, spent
}

// Clients that send the whole body before they read, and clients that read
// meanwhile, see the answer of a refusal that comes before the body is read: its
// status and its text, each time.
func TestRefusalsReachTheirClients(t *testing.T) {
	const times = 100
	free, spent := startRefusing(t)
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, []byte(strings.Repeat("0123456789abcde\n", 8<<20/16)), 0o600); err != nil {
		t.Fatal(err)
	}
	var both, h1 []refused
	for _, r := range refusals(free, spent) {
		h1 = append(h1, r)
		if !r.http1 {
			both = append(both, r)
		}
	}
	for name, tc := range map[string]struct {
		client  string
		needs   string
		refused []refused
	}{
		"curl, HTTP/1.1": {curlClient("--http1.1"), "curl", h1[:9]}, // curl sends no body with a coding of its own
		"curl, HTTP/2":   {curlClient("--http2"), "curl", both},
		"Go, HTTP/1.1":   {goClient, "1", h1[:8]},
		"Go, HTTP/2":     {goClient, "2", both},
		"Python":         {pythonClient, "python3", h1},
		"Node":           {nodeClient, "node", h1[:9]}, // Node does not send an unknown coding
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.client == goClient {
				c := client(int(tc.needs[0] - '0'))
				for i := range times {
					r := tc.refused[i%len(tc.refused)]
					status, text, err := runGo(t, c, r)
					checkRefused(t, r, status, text, err)
				}
				return
			}
			need(t, tc.needs)
			if tc.needs == "curl" {
				for i := range times {
					r := tc.refused[i%len(tc.refused)]
					status, text, err := runCurl(t, strings.Fields(tc.client), r, body)
					checkRefused(t, r, status, text, err)
				}
				return
			}
			plan, err := json.Marshal(map[string]any{"times": times, "refused": tc.refused})
			if err != nil {
				t.Fatal(err)
			}
			run := exec.CommandContext(t.Context(), tc.needs, scriptFlag(tc.needs), tc.client)
			run.Stdin = strings.NewReader(string(plan))
			out, err := run.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, stderrOf(err))
			}
			var got []struct {
				Status int
				Text   string
				Error  string
			}
			if err := json.Unmarshal(out, &got); err != nil || len(got) != times {
				t.Fatalf("%d results, %v, want %d: %s", len(got), err, times, out)
			}
			for i, g := range got {
				var err error
				if g.Error != "" {
					err = fmt.Errorf("%s", g.Error)
				}
				checkRefused(t, tc.refused[i%len(tc.refused)], g.Status, g.Text, err)
			}
		})
	}
}

func checkRefused(t *testing.T, r refused, status int, text string, err error) {
	t.Helper()
	var problem api.Problem
	if err == nil {
		err = json.Unmarshal([]byte(text), &problem)
	}
	if err != nil || status != r.Status || problem.Status != r.Status {
		t.Errorf("%s: got %d %.100q, %v, want a problem %d", r.Name, status, text, err, r.Status)
	}
}

// goClient is net/http's, which stops sending where an answer comes early.
const goClient = "Go"

func runGo(t *testing.T, c *http.Client, r refused) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, strings.NewReader(strings.Repeat("x", r.Size)))
	if err != nil {
		return 0, "", err
	}
	for _, f := range r.Fields {
		if f[0] == "Host" {
			request.Host = f[1]
		}
		request.Header.Set(f[0], f[1])
	}
	answer, err := c.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func curlClient(protocol string) string { return "--silent --show-error --insecure " + protocol }

func runCurl(t *testing.T, flags []string, r refused, body string) (status int, text string, err error) {
	t.Helper()
	part := filepath.Join(t.TempDir(), "body")
	whole, err := os.ReadFile(body)
	if err != nil {
		return 0, "", err
	}
	if err := os.WriteFile(part, whole[:r.Size], 0o600); err != nil {
		return 0, "", err
	}
	args := append(flags, "--write-out", "\n%{http_code}", "--request", r.Method, "--data-binary", "@"+part)
	hasExpect := false
	for _, f := range r.Fields {
		args = append(args, "--header", f[0]+": "+f[1])
		hasExpect = hasExpect || f[0] == "Expect"
	}
	if !hasExpect {
		args = append(args, "--header", "Expect:") // the hard case: the body comes at once
	}
	out, err := exec.CommandContext(t.Context(), "curl", append(args, r.URL)...).Output()
	if err != nil {
		return 0, string(out), fmt.Errorf("%w: %s", err, stderrOf(err))
	}
	end := strings.LastIndexByte(string(out), '\n')
	status, err = strconv.Atoi(string(out[end+1:]))
	return status, string(out[:end]), err
}

func scriptFlag(program string) string {
	if program == "node" {
		return "-e"
	}
	return "-c"
}

// pythonClient sends the whole body before it reads, as most simple clients do.
const pythonClient = `
import http.client, json, ssl, sys
from urllib.parse import urlsplit
plan = json.load(sys.stdin)
context = ssl._create_unverified_context()
results = []
for i in range(plan["times"]):
    r = plan["refused"][i % len(plan["refused"])]
    url = urlsplit(r["URL"])
    try:
        c = http.client.HTTPSConnection(url.netloc, context=context, timeout=60)
        c.putrequest(r["Method"], url.path, skip_host=any(f[0] == "Host" for f in r["Fields"]))
        for name, value in r["Fields"]:
            c.putheader(name, value)
        c.putheader("Content-Length", str(r["Size"]))
        c.endheaders(b"x" * r["Size"])
        answer = c.getresponse()
        results.append({"Status": answer.status, "Text": answer.read().decode()})
        c.close()
    except Exception as e:
        results.append({"Error": repr(e)})
print(json.dumps(results))
`

// nodeClient writes the body while it waits for the answer.
const nodeClient = `
const https = require("https");
const plan = JSON.parse(require("fs").readFileSync(0));
const ask = (r) => new Promise((resolve) => {
  const headers = Object.fromEntries(r.Fields);
  headers["Content-Length"] = r.Size;
  const request = https.request(r.URL, {method: r.Method, headers, rejectUnauthorized: false, servername: "", agent: false}, (answer) => {
    let text = "";
    answer.on("data", (part) => text += part);
    answer.on("end", () => resolve({Status: answer.statusCode, Text: text}));
    answer.on("error", (e) => resolve({Error: String(e)}));
  });
  request.on("error", (e) => resolve({Error: String(e)}));
  request.end(Buffer.alloc(r.Size, "x"));
});
(async () => {
  const results = [];
  for (let i = 0; i < plan.times; i++) results.push(await ask(plan.refused[i % plan.refused.length]));
  console.log(JSON.stringify(results));
})();
`

// Behind nginx as Debian ships it, with two upstreams, refused uploads of one
// client must not make nginx take both for dead: another client is served all the
// while.
func TestRefusalsBehindNginx(t *testing.T) {
	need(t, "nginx")
	proxied := []string{"--tls=off", "--trusted-proxy=127.0.0.1/32", "--host=127.0.0.1", "--host=backend"}
	one, two := start(t, proxied...), start(t, proxied...)
	c := startNginx(t, one.address, two.address)
	ask := func(method, path, contentType string, size int) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://backend"+path, strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", contentType)
		answer, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		defer func() { _ = answer.Body.Close() }()
		_, err = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, err
	}
	for i := range 100 {
		contentType, want := "text/plain", http.StatusRequestEntityTooLarge
		if i%2 == 0 {
			contentType, want = "image/png", http.StatusUnsupportedMediaType
		}
		if status, err := ask("POST", "/", contentType, 300<<10); err != nil || status != want {
			t.Errorf("POST of %s: got %d, %v, want %d", contentType, status, err, want)
		}
		if status, err := ask("GET", "/", "", 0); err != nil || status != http.StatusOK {
			t.Errorf("another client: got %d, %v, want 200", status, err)
		}
	}
}

// startNginx runs nginx with its defaults in front of two upstreams, and returns
// a client for it.
func startNginx(t *testing.T, one, two string) *http.Client {
	t.Helper()
	dir := t.TempDir()
	socket, config := filepath.Join(dir, "nginx.sock"), filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  upstream backend { server %[2]s; server %[3]s; }
  server {
    listen unix:%[4]s;
    location / { proxy_pass http://backend; proxy_set_header X-Forwarded-For $remote_addr; }
  }
}
`, dir, one, two, socket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.CommandContext(t.Context(), "nginx", "-c", config, "-p", dir)
	nginx.Stderr = os.Stderr
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Kill()
		_ = nginx.Wait()
		if t.Failed() {
			if log, err := os.ReadFile(filepath.Join(dir, "error.log")); err == nil {
				t.Logf("nginx: %s", log)
			}
		}
	})
	eventually(t, time.Minute, "nginx listens", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// A connection whose refused body was read whole goes on; one whose body is
// longer than what is discarded ends.
func TestRefusedConnectionGoesOn(t *testing.T) {
	free, _ := startRefusing(t)
	for _, tc := range []struct {
		size    int
		chunked bool
		goesOn  bool
	}{{300 << 10, false, true}, {8 << 20, false, true}, {300 << 10, true, true}, {9 << 20, false, false}} {
		c, err := tls.Dial("tcp", free.address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		body := strings.Repeat("x", tc.size)
		head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", tc.size)
		if tc.chunked {
			head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", tc.size, body)
		}
		answers := bufio.NewReader(c)
		status := func() int {
			answer, err := http.ReadResponse(answers, nil)
			if err != nil {
				return 0
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			return answer.StatusCode
		}
		if _, err := io.WriteString(c, head+body); err != nil && tc.goesOn {
			t.Errorf("%d bytes: %v", tc.size, err)
		}
		if got := status(); got != http.StatusRequestEntityTooLarge && tc.goesOn {
			t.Errorf("%d bytes: got %d, want 413", tc.size, got)
		}
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got := status(); (err == nil && got == http.StatusOK) != tc.goesOn {
			t.Errorf("%d bytes, chunked %v: the next request got %d, %v, want one answer: %v", tc.size, tc.chunked, got, err, tc.goesOn)
		}
	}
}

// A refused client that sends no more of its body gets its answer at once, and its
// connection ends after a bounded time.
func TestRefusedBodiesThatStall(t *testing.T) {
	t.Parallel()
	s := start(t)
	const head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
	for range 40 { // more than are drained for one client
		c, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(time.Minute)) // six times what a connection may last
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(c)
		answer, err := http.ReadResponse(answers, nil)
		if err != nil || answer.StatusCode != http.StatusUnsupportedMediaType {
			t.Fatalf("got %v, %v, want a 415", answer, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		defer func() {
			if _, err := answers.ReadByte(); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a connection is still open")
			}
		}()
	}
}
