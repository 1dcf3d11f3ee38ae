package web_test

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"messaging_api/internal/web"
)

// security are the fields of every answer, as they are on the wire.
var security = map[string]string{
	"Cache-Control":                     "no-store",
	"Content-Security-Policy":           "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	"Cross-Origin-Embedder-Policy":      "require-corp",
	"Cross-Origin-Opener-Policy":        "same-origin",
	"Cross-Origin-Resource-Policy":      "same-origin",
	"Permissions-Policy":                "accelerometer=(), autoplay=(), bluetooth=(), browsing-topics=(), camera=(), clipboard-read=(), clipboard-write=(), display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), keyboard-map=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), storage-access=(), sync-xhr=(), unload=(), usb=(), web-share=(), window-management=(), xr-spatial-tracking=()",
	"Referrer-Policy":                   "no-referrer",
	"Strict-Transport-Security":         "max-age=63072000; includeSubDomains",
	"X-Content-Type-Options":            "nosniff",
	"X-Dns-Prefetch-Control":            "off",
	"X-Frame-Options":                   "DENY",
	"X-Permitted-Cross-Domain-Policies": "none",
	"X-Robots-Tag":                      "noindex, nofollow",
}

// securityOf are the same for the answer that is given: the page has two policies
// of its own.
func securityOf(a answer) map[string]string {
	if !isPage(a) {
		return security
	}
	own := maps.Clone(security)
	own["Content-Security-Policy"] = testPage.ContentSecurityPolicy
	own["Permissions-Policy"] = strings.NewReplacer("clipboard-write=()", "clipboard-write=(self)", "web-share=()", "web-share=(self)").Replace(security["Permissions-Policy"])
	own["Vary"] = "Accept, Accept-Encoding"
	return own
}

// expected are the other fields that an answer may have.
var expected = []string{"Accept-Encoding", "Accept-Post", "Allow", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Location", "Ratelimit", "Ratelimit-Policy", "Retry-After", "Www-Authenticate", "X-Request-Id"}

// An answerChecker checks answers, and that no request id comes twice.
type answerChecker struct{ seen map[string]bool }

func newAnswerChecker() *answerChecker { return &answerChecker{seen: make(map[string]bool)} }

func (c *answerChecker) audit(t *testing.T, a answer) {
	t.Helper()
	fixed := securityOf(a)
	for name, want := range fixed {
		if got := a.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for name, values := range a.Header {
		if _, ok := fixed[name]; !ok && !slices.Contains(expected, name) {
			t.Errorf("there is a field %s: %q", name, values)
		}
		if len(values) != 1 {
			t.Errorf("%s is there %d times", name, len(values))
		}
	}
	id := a.id()
	if !uuid4.MatchString(id) || c.seen[id] {
		t.Errorf("X-Request-Id %q: want a fresh version 4 UUID", id)
	}
	c.seen[id] = true
	if a.StatusCode == http.StatusNoContent {
		if a.body != "" || a.Header.Get("Content-Type") != "" {
			t.Errorf("a 204 with the type %q and the body %q", a.Header.Get("Content-Type"), a.body)
		}
		return
	}
	if got := a.Header.Get("Content-Type"); got != typeJSON && got != typeProblem && got != typeUTF8 && got != typeHTML {
		t.Errorf("Content-Type %q", got)
	}
	if a.Request != nil && a.Request.Method == http.MethodHead {
		if a.body != "" {
			t.Errorf("HEAD: there is a body %q", a.body)
		}
	} else if a.ContentLength != int64(len(a.body)) {
		t.Errorf("Content-Length %d, the body has %d", a.ContentLength, len(a.body))
	}
	if a.Header.Get("Date") == "" {
		t.Error("there is no Date")
	}
}

// http1Only are statuses of refusals that HTTP/2 does not know: it has no
// transfer codings and no versions, takes any expectation, and answers large
// headers in its own way (see TestHTTP2OutOfReach).
var http1Only = []int{417, 431, 501, 505}

// all are the statuses that the service can send.
var all = []int{200, 204, 400, 401, 403, 404, 405, 406, 408, 410, 413, 415, 417, 421, 429, 431, 500, 501, 503, 505, 507}

func TestEveryStatusHasEveryHeader(t *testing.T) {
	headers := newAnswerChecker()
	for _, protocol := range protocols {
		w := newService(limits, "example.com").listen(t)
		c := w.client(t, protocol)
		seen := make(map[int]bool)
		check := func(t *testing.T, e statusCase, a answer) {
			t.Helper()
			if a.StatusCode != e.status || (e.raw == "" && a.Proto != protocol) {
				t.Errorf("got %s %s %q, want %s %d", a.Proto, a.Status, a.body, protocol, e.status)
			}
			headers.audit(t, a)
			seen[a.StatusCode] = true
		}
		for _, e := range statusCases(w, t) {
			if e.raw != "" && protocol != "HTTP/1.1" {
				continue
			}
			t.Run(protocol+" "+e.name, func(t *testing.T) { check(t, e, w.sendCase(t, c, e)) })
		}
		t.Run(protocol+" slow body", func(t *testing.T) {
			w, e := slow(t)
			check(t, e, w.sendCase(t, w.client(t, protocol), e))
		})
		for _, status := range all {
			if !seen[status] && (protocol == "HTTP/1.1" || !slices.Contains(http1Only, status)) {
				t.Errorf("%s: no request emits %d", protocol, status)
			}
			delete(seen, status)
		}
		if len(seen) > 0 {
			t.Errorf("%s: also emitted were %v", protocol, slices.Collect(maps.Keys(seen)))
		}
	}
}

// An answer can have a policy of its own, once. The next answer on the same
// connection has the default one.
func TestAnswerChoosesItsHeaders(t *testing.T) {
	const policy = "default-src 'self'"
	w := newStack(func(x *web.Exchange, r *http.Request) error {
		if r.URL.Path == "/page" {
			web.AnswerWith(x, r, policy)
		} else {
			web.Answer(x, r, http.StatusOK, []byte("default"))
		}
		return nil
	}).listen(t)
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for path, want := range map[string]string{"/": security["Content-Security-Policy"], "/page": policy} {
			for range 2 {
				a := w.sendCase(t, c, statusCase{method: "GET", target: path, status: 200})
				if got := a.Header["Content-Security-Policy"]; len(got) != 1 || got[0] != want {
					t.Errorf("%s %s: Content-Security-Policy: got %q, want %q", protocol, path, got, want)
				}
				for name, value := range security {
					if got := a.Header[name]; name != "Content-Security-Policy" && (len(got) != 1 || got[0] != value) {
						t.Errorf("%s %s: %s: got %q, want %q", protocol, path, name, got, value)
					}
				}
			}
		}
	}
}

// Where a proxy terminates TLS, net/http's refusals are ours too.
func TestRefusalsWithoutTLS(t *testing.T) {
	headers := newAnswerChecker()
	w := newService(limits, "example.com").listenTLS(t, nil)
	for _, e := range statusCases(w, t) {
		if e.raw != "" {
			t.Run(e.name, func(t *testing.T) {
				a := w.sendCase(t, nil, e)
				if a.StatusCode != e.status {
					t.Errorf("got %s, want %d", a.Status, e.status)
				}
				expectProblem(t, a, e.status, "")
				headers.audit(t, a)
			})
		}
	}
}

func TestPlainHTTPOnTheTLSPort(t *testing.T) {
	w := newService(limits).listen(t)
	a := plainOnTLS(t, w)
	expectProblem(t, a, http.StatusBadRequest, "HTTPS")
	newAnswerChecker().audit(t, a)
}

func TestPanics(t *testing.T) {
	headers := newAnswerChecker()
	for name, tc := range map[string]struct {
		after int // bytes of an answer before it; -1: none
		value any
		log   string
	}{
		"a text":                       {-1, "secret", "a value that is not shown"},
		"an error":                     {-1, errBroken, "a value that is not shown"},
		"nil":                          {-1, nil, "panic called with nil argument"},
		"after an answer without body": {0, "secret", "a value that is not shown"},
		"after an answer":              {10, "secret", "a value that is not shown"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newStack(broken(tc.after, tc.value)).listen(t)
			for i, protocol := range protocols {
				c := w.client(t, protocol)
				if tc.after >= 0 {
					// The client must not think that all is well.
					if body, err := get(t, c, "/"); err == nil {
						t.Errorf("%s: got an answer %q", protocol, body)
					}
				} else {
					a := send(t, c, "GET", "/", nil, nil)
					expectProblem(t, a, http.StatusInternalServerError, "on our side")
					headers.audit(t, a)
					w.log.await(t, "panic in a handler", "request_id", a.id())
				}
				eventually(t, "the log lines", func() bool { return len(w.log.lines(t, "request")) > i })
				for _, line := range w.log.lines(t, "panic in a handler") {
					stack, _ := line["stack"].([]any)
					if line["panic"] != tc.log || len(stack) == 0 || !strings.Contains(stack[0].(string), "web_test.") {
						t.Errorf("log line %v: want the panic %q, and where it came from first", line, tc.log)
					}
				}
			}
			if strings.Contains(w.log.String(), "secret") {
				t.Errorf("the log shows what was panicked with:\n%s", w.log)
			}
		})
	}
}

// A panic among pipelined requests harms no other request. Before its answer it is
// a 500, and the connection stays open. After it the connection ends, and no later
// request is answered or run.
func TestPanicInAPipeline(t *testing.T) {
	ran := make(chan string, 8)
	w := newStack(func(x *web.Exchange, r *http.Request) error {
		ran <- r.URL.Path
		switch r.URL.Path {
		case "/before":
			return broken(-1, "before the answer")(x, r)
		case "/after":
			return broken(64<<10, "after the answer")(x, r)
		}
		web.Answer(x, r, http.StatusOK, []byte(r.URL.Path))
		return nil
	}).listen(t)
	headers := newAnswerChecker()
	for _, c := range []struct {
		paths []string
		want  []int // what is answered in full
	}{
		{[]string{"/1", "/before", "/2", "/before", "/3"}, []int{200, 500, 200, 500, 200}},
		{[]string{"/1", "/after", "/2"}, []int{200, 200}},
	} {
		var input strings.Builder
		for _, path := range c.paths {
			input.WriteString("GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n")
		}
		answers := w.raw(t, input.String())
		if len(answers) != len(c.want) {
			t.Fatalf("%v: got %d answers, want %v", c.paths, len(answers), c.want)
		}
		for i, a := range answers {
			if a.StatusCode != c.want[i] || a.StatusCode == http.StatusOK && c.paths[i] != "/after" && a.body != c.paths[i] {
				t.Errorf("%v: answer %d: got %s %.20q, want %d", c.paths, i, a.Status, a.body, c.want[i])
			}
			headers.audit(t, a)
		}
		for _, path := range c.paths[:len(c.want)] {
			if got := <-ran; got != path {
				t.Errorf("%v: ran %s, want %s", c.paths, got, path)
			}
		}
		if len(ran) != 0 {
			t.Errorf("%v: also ran %s", c.paths, <-ran)
		}
	}
}

// broken returns a handler that panics after an answer of some bytes, or before
// any.
func broken(after int, v any) web.Handler {
	return func(x *web.Exchange, r *http.Request) error {
		if after >= 0 {
			web.Answer(x, r, http.StatusOK, make([]byte, after))
		}
		panic(v)
	}
}

func get(t *testing.T, c *http.Client, target string) ([]byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// The panics of the runtime are shown in the log: they hold nothing of a request.
func TestPanicOfTheRuntimeIsShown(t *testing.T) {
	var none []int
	s := newStack(func(*web.Exchange, *http.Request) error {
		none[len(none)]++
		return nil
	})
	expectProblem(t, s.ask("GET", "/", nil, nil), 500, "")
	if lines := s.log.lines(t, "panic in a handler"); len(lines) != 1 || lines[0]["panic"] != "runtime error: index out of range [0] with length 0" {
		t.Errorf("log lines %v: want the runtime's error", lines)
	}
}

// http.ErrAbortHandler ends the connection without a log line about a panic.
func TestAbort(t *testing.T) {
	w := newStack(broken(-1, http.ErrAbortHandler)).listen(t)
	for i, protocol := range protocols {
		if _, err := get(t, w.client(t, protocol), "/"); err == nil {
			t.Errorf("%s: got an answer", protocol)
		}
		eventually(t, "the log line", func() bool { return len(w.log.lines(t, "request")) > i })
	}
	if lines := w.log.lines(t, "panic in a handler"); len(lines) != 0 {
		t.Errorf("log lines %v: want none", lines)
	}
}

// Two answers are made inside net/http's HTTP/2, where no handler can reach:
// processHeaders in h2_bundle.go replaces the handler, and writes its answer
// compressed (HPACK) into a *tls.Conn. No setting avoids them, because a client can
// always send larger headers than advertised. This test notices a third such
// answer, or a hook for these.
func TestHTTP2OutOfReach(t *testing.T) {
	w := newService(limits).listen(t)
	half := strings.Repeat("0", 10_000)
	for name, tc := range map[string]struct {
		header       http.Header
		status       int
		body, fields string
	}{
		"a header list over the advertised size": {fields("X", half, "Y", half), 431,
			"<h1>HTTP Error 431</h1><p>Request Header Field(s) Too Large</p>", "Content-Length Content-Type Date"},
		"a field that HTTP/2 forbids": {fields("Te", "gzip"), 400,
			"request header \"TE\" may only be \"trailers\" in HTTP/2\n", "Content-Length Content-Type Date X-Content-Type-Options"},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, w.earlyClient(t), "GET", "/", tc.header, nil)
			if a.StatusCode != tc.status || a.body != tc.body || a.Proto != "HTTP/2.0" {
				t.Errorf("got %s %s %q, want HTTP/2.0 %d %q", a.Proto, a.Status, a.body, tc.status, tc.body)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(a.Header)), " "); got != tc.fields {
				t.Errorf("got the fields %s, want %s", got, tc.fields)
			}
		})
	}
}

// earlyClient returns an HTTP/2 client that sends its request before it has read what
// the server allows.
func (w *testServer) earlyClient(t *testing.T) *http.Client {
	c := w.client(t, "HTTP/2.0")
	transport := c.Transport.(*http.Transport)
	sent := make(chan struct{})
	transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", w.address)
		if err != nil {
			return nil, err
		}
		gate := &pausedConn{Conn: raw, open: sent}
		config := w.tls.Clone()
		config.NextProtos = []string{"h2"}
		secured := tls.Client(gate, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		gate.shut.Store(true)
		return secured, nil
	}
	c.Transport = traced{transport, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }}}
	return c
}

// A pausedConn blocks reads from when it is shut until it is open.
type pausedConn struct {
	net.Conn
	shut atomic.Bool
	open chan struct{}
}

func (c *pausedConn) Read(p []byte) (int, error) {
	if c.shut.Load() {
		<-c.open
	}
	return c.Conn.Read(p)
}

type traced struct {
	http.RoundTripper
	trace *httptrace.ClientTrace
}

func (c traced) RoundTrip(r *http.Request) (*http.Response, error) {
	return c.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), c.trace)))
}
