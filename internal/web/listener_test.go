package web_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// The listener looks for net/http's refusals at the start of each write. A message
// that looks like one must arrive, wherever the writes of a large answer begin.
func TestMessageThatLooksLikeARefusal(t *testing.T) {
	const line = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request\r\n"
	for name, w := range map[string]*testServer{
		"TLS":    newService(limits).listen(t),
		"no TLS": newService(limits).listenTLS(t, nil),
	} {
		c := w.dial(t) // one connection for all: none may be closed
		r := bufio.NewReader(c)
		ask := func(input string) answer {
			t.Helper()
			if _, err := io.WriteString(c, input); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			a, err := readAnswer(r, &http.Request{Method: http.MethodGet})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return a
		}
		for shift := range len(line) {
			text := strings.Repeat("x", shift) + strings.Repeat(line, 100)
			created := ask(fmt.Sprintf("POST / HTTP/1.1\r\nHost: example.com\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
			path := strings.TrimPrefix(created.Header.Get("Location"), "https://example.com")
			got := ask("GET " + path + " HTTP/1.1\r\nHost: example.com\r\nAccept: text/plain\r\n\r\n")
			if got.StatusCode != http.StatusOK || got.body != text {
				t.Fatalf("%s, shifted by %d: got %d and %d bytes, want 200 and %d", name, shift, got.StatusCode, len(got.body), len(text))
			}
		}
	}
}

// Pipelined requests, good and bad, are answered in order, each with its own id.
// The connection stays open until one is malformed.
func TestPipelining(t *testing.T) {
	w := newService(limits).listen(t)
	headers := newAnswerChecker()
	path := w.post(t, "hello")
	const host = " HTTP/1.1\r\nHost: example.com\r\n"
	input := "POST /" + host + "Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n1\r\nx\r\n0\r\nTrailer: x\r\n\r\n" +
		"GET " + path + host + "\r\n" +
		"GET /x" + host + "\r\n" +
		"POST /" + host + "Content-Length: 1\r\n\r\n{" +
		"POST /x" + host + "Content-Length: 15\r\n\r\nGET / HTTP/1.1\r\n" + // one byte is left over: a line break that is forgiven
		"BREW /" + host + "Content-Length: 2\r\n\r\n{}" +
		"HEAD " + path + host + "\r\n" +
		"GET /x" + host + "Expect: x\r\n\r\n" +
		"GET " + path + host + "\r\n" // after a refusal of net/http nothing is read
	answers := w.raw(t, input, "POST", "GET", "GET", "POST", "POST", "BREW", "HEAD")
	if got, want := statuses(answers), "[200 200 404 400 404 405 200 417]"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	for i, a := range answers {
		if a.Request.Method != http.MethodHead && a.ContentLength != int64(len(a.body)) {
			t.Errorf("answer %d: Content-Length %d of %d", i, a.ContentLength, len(a.body))
		}
		headers.audit(t, a)
	}
}

// If a proxy sees one request where the service sees two, an attacker can prepend
// text to the next client's request. Each of these inputs is refused, or read as
// RFC 9112 says.
func TestSmuggling(t *testing.T) {
	w := newService(limits).listen(t)
	const (
		hidden = "GET /hidden HTTP/1.1\r\nHost: example.com\r\n\r\n"
		post   = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Type: text/plain\r\n"
		old    = "POST / HTTP/1.0\r\nHost: example.com\r\nContent-Type: text/plain\r\n"
	)
	length := fmt.Sprint(len(hidden))
	for name, tc := range map[string]struct{ input, want string }{
		// Section 6.1: with both fields, and with chunks in HTTP/1.0, the connection ends.
		"length and chunks":             {post + "Content-Length: " + length + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "[400]"},
		"chunks and length":             {post + "tRANSFER-eNCODING: chunked\ncontent-length: " + length + "\n\n1\r\nx\r\n0\r\n\r\n" + hidden, "[400]"},
		"chunks that hide a request":    {post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), "[400]"},
		"chunks in HTTP/1.0":            {old + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "[400]"},
		"chunks and length in HTTP/1.0": {old + "Connection: keep-alive\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "[400]"},
		"a second request in HTTP/1.0":  {old + "Connection: keep-alive\r\nContent-Length: 1\r\n\r\nx" + hidden, "[200]"},
		// Where a later head begins, only net/http knows, so the connection ends without a 400.
		"both fields in a later request": {post + "Content-Length: 1\r\n\r\nx" + post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "[200 200]"},
		"HTTP/1.0 in a later request":    {post + "Content-Length: 1\r\n\r\nx" + old + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "[200 400]"},
		"both in a body":                 {post + "Content-Length: 60\r\n\r\n" + fmt.Sprintf("%-60s", "\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n") + hidden, "[200 404]"},
		"length that hides a request":    {post + "Content-Length: " + length + "\r\n\r\n" + hidden, "[200]"},
		"two lengths":                    {post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx" + hidden, "[400]"},
		"the same length twice":          {post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx" + hidden, "[200 404]"},
		"a list of lengths":              {post + "Content-Length: 1, 2\r\n\r\nx" + hidden, "[400]"},
		"length with a sign":             {post + "Content-Length: +1\r\n\r\nx" + hidden, "[400]"},
		"negative length":                {post + "Content-Length: -1\r\n\r\nx" + hidden, "[400]"},
		"length in hexadecimal":          {post + "Content-Length: 0x1\r\n\r\nx" + hidden, "[400]"},
		"length with a space":            {post + "Content-Length: 1 1\r\n\r\nx" + hidden, "[400]"},
		"empty length":                   {post + "Content-Length:\r\n\r\n" + hidden, "[400]"},
		"too large a length":             {post + "Content-Length: 99999999999999999999\r\n\r\nx" + hidden, "[400]"},
		"space before the colon":         {post + "Transfer-Encoding : chunked\r\nContent-Length: 1\r\n\r\nx" + hidden, "[400]"},
		"coding with a vertical tab":     {post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + hidden, "[400]"},
		"coding in quotes":               {post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + hidden, "[501]"},
		"chunked and identity":           {post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden, "[501]"},
		"chunked twice":                  {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "[501]"},
		"an invented coding":             {post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, "[501]"},
		"a folded coding":                {post + "Transfer-Encoding:\r\n chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "[200 404]"},
		"a folded field hides none":      {post + "X: y\r\n Content-Length: 1\r\nContent-Length: 2\r\n\r\nab" + hidden, "[200 404]"},
		"a folded first field":           {"GET / HTTP/1.1\r\n Host: example.org\r\nHost: example.com\r\n\r\n" + hidden, "[400]"},
		"lines that end in a bare LF":    {"GET / HTTP/1.1\nHost: example.com\n\n" + hidden, "[200 404]"},
		"a bare CR in a field":           {"GET / HTTP/1.1\r\nHost: example.com\r\nX: a\rContent-Length: 5\r\n\r\n" + hidden, "[400]"},
		"a bare CR in the request line":  {"GET /\rHTTP/1.1\r\nHost: example.com\r\n\r\n" + hidden, "[400]"},
		"a NUL in a field":               {"GET / HTTP/1.1\r\nHost: example.com\r\nX: \x00\r\n\r\n" + hidden, "[400]"},
		"an empty field name":            {"GET / HTTP/1.1\r\nHost: example.com\r\n: x\r\n\r\n" + hidden, "[400]"},
		"a chunk size with a sign":       {post + "Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n" + hidden, "[400]"},
		"a chunk size with a bare LF":    {post + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n" + hidden, "[400]"},
		"a chunk extension with a CR":    {post + "Transfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n0\r\n\r\n" + hidden, "[400]"},
		"a chunk longer than it says":    {post + "Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n" + hidden, "[400]"},
		"a body with GET":                {"GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: " + length + "\r\n\r\n" + hidden, "[200]"},
		"a body with HEAD":               {"HEAD / HTTP/1.1\r\nHost: example.com\r\nContent-Length: " + length + "\r\n\r\n" + hidden, "[200]"},
		"a body that nobody reads":       {"POST /x HTTP/1.1\r\nHost: example.com\r\nContent-Length: " + length + "\r\n\r\n" + hidden, "[404]"},
		"an upgrade to HTTP/2":           {"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + hidden, "[200 404]"},
		"an upgrade to WebSocket":        {"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + hidden, "[200 404]"},
		"line breaks before the request": {"\r\n" + hidden, "[400]"},
	} {
		t.Run(name, func(t *testing.T) {
			answers := w.raw(t, tc.input, strings.TrimSpace(tc.input[:4])) // its method
			if got := statuses(answers); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			headers := newAnswerChecker()
			for _, a := range answers {
				headers.audit(t, a)
			}
		})
	}
}

// An error of the client does not end its connection.
func TestKeepAliveAfterErrors(t *testing.T) {
	w := newService(limits, "example.com").listen(t)
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for _, e := range statusCases(w, t) {
			if e.raw != "" || e.status == http.StatusRequestEntityTooLarge {
				continue // these end an HTTP/1 connection, as they should
			}
			w.sendCase(t, c, e)
		}
	}
	if n := w.connections.Load(); n != int64(len(protocols)) {
		t.Errorf("%d connections were opened, want %d", n, len(protocols))
	}
}

// A request may arrive in pieces of any size.
func TestRequestInPieces(t *testing.T) {
	w := newService(limits).listen(t)
	c := w.dial(t)
	for _, b := range []byte("POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"message\":\"x\"}") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	answers, err := readAll(bufio.NewReader(c))
	if err != nil || statuses(answers) != "[200]" {
		t.Errorf("got %s, %v, want 200", statuses(answers), err)
	}
}

// Expect: 100-continue is answered with 100 only where the body is wanted.
func TestExpectContinue(t *testing.T) {
	w := newService(limits).listen(t)
	for contentType, want := range map[string]string{
		typeText:    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
		"text/html": "HTTP/1.1 415 Unsupported Media Type\r\n",
	} {
		got := w.bytes(t, "POST / HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 1\r\nContent-Type: "+contentType+"\r\n\r\nx")
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %.60q, want %q", contentType, got, want)
		}
	}
}

// newListener returns a listener without a server.
func newListener(t *testing.T, config *tls.Config, handshake time.Duration) (*web.Listener, *logBuffer) {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := new(logBuffer)
	l := web.NewListener(inner, config, handshake, logTo(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))), noObserver{})
	t.Cleanup(func() { _ = l.Close() })
	return l, log
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	return c
}

// A client that does not finish its handshake is disconnected when its time is
// over. One that does not begin a handshake is disconnected at once.
func TestHandshakeThatNeverEnds(t *testing.T) {
	const bound = 5 * time.Second
	for name, tc := range map[string]struct {
		start string
		lasts time.Duration
	}{
		"silent":         {"", bound},
		"half a record":  {"\x16\x03\x01", bound},
		"half a hello":   {"\x16\x03\x01\x02\x00\x01", bound},
		"half a method":  {"GE", bound},
		"a huge record":  {"\x16\x03\x01\xff\xff", 0},
		"SSH":            {"SSH-2.0-OpenSSH_9.2\r\n", 0},
		"SSL 2":          {"\x80\x2e\x01\x00\x02", 0},
		"an alert":       {"\x15\x03\x01\x00\x02\x01\x00", 0},
		"another method": {"BREW / HTTP/1.1\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, lasted, log := runHandshake(t, bound, tc.start)
			if lasted != tc.lasts || bytes.Contains(got, []byte("HTTP")) {
				t.Errorf("got %q after %v, want the end after %v", got, lasted, tc.lasts)
			}
			if lines := log.lines(t, "a TLS handshake failed"); len(lines) != 1 || lines[0]["level"] != "DEBUG" {
				t.Errorf("log lines %v: want one, at debug level", lines)
			}
		})
	}
}

// A client that speaks plain HTTP gets its answer at once. What else it sends is
// discarded for a while.
func TestPlainHTTPThatNeverEnds(t *testing.T) {
	const bound = 10 * time.Second
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"} {
		got, lasted, log := runHandshake(t, bound, method+" / HTTP/1.1\r\n")
		if !bytes.HasPrefix(got, []byte("HTTP/1.1 400 Bad Request\r\n")) || lasted != bound {
			t.Errorf("%s: got %.60q after %v, want a 400, and the end after %v", method, got, lasted, bound)
		}
		if lines := log.lines(t, "request"); len(lines) != 1 {
			t.Errorf("%s: log lines %v, want one", method, lines)
		}
	}
}

// runHandshake starts a handshake in a synctest bubble. It returns what the server
// sends, and after how long it closes the connection.
func runHandshake(t *testing.T, bound time.Duration, start string) (got []byte, lasted time.Duration, log *logBuffer) {
	certificate, _ := certificates(t)
	synctest.Test(t, func(t *testing.T) {
		log = new(logBuffer)
		client, server := net.Pipe()
		inner := &pipeListener{conns: make(chan net.Conn)}
		l := web.NewListener(inner, certificate, bound, logTo(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))), noObserver{})
		begin := time.Now()
		inner.conns <- server
		go func() { _, _ = io.WriteString(client, start) }()
		got, _ = io.ReadAll(client)
		lasted = time.Since(begin)
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) { // after all goroutines have ended
			t.Errorf("Accept: got %v, want net.ErrClosed", err)
		}
	})
	return got, lasted, log
}

// A pipeListener accepts what it is sent.
type pipeListener struct {
	net.Listener
	conns chan net.Conn
}

func (l *pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *pipeListener) Close() error {
	close(l.conns)
	return nil
}

// A handshake that does not end delays no other client.
func TestHandshakesDoNotWaitForEachOther(t *testing.T) {
	certificate, client := certificates(t)
	l, log := newListener(t, certificate, testTimeout)
	stuck := dial(t, l)
	if _, err := io.WriteString(stuck, "\x16\x03\x01"); err != nil {
		t.Fatal(err)
	}
	done := handshake(t, l, client)
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = accepted.Close()
	if err := <-done; err != nil {
		t.Errorf("the other client: %v", err)
	}
	_ = stuck.Close()
	log.await(t, "a TLS handshake failed", "level", "DEBUG")
}

// handshake starts a client's handshake, and returns the channel of its result.
func handshake(t *testing.T, l net.Listener, config *tls.Config) <-chan error {
	t.Helper()
	c := tls.Client(dial(t, l), config)
	done := make(chan error, 1)
	go func() { done <- c.HandshakeContext(t.Context()) }()
	return done
}

func isReset(err error) bool { return strings.Contains(err.Error(), "connection reset by peer") }

// Clients that come and go at once leave nothing behind.
func TestConnectionsThatCloseAtOnce(t *testing.T) {
	w := newService(limits).listen(t)
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.address)
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.Close()
		})
	}
	clients.Wait()
	if a := send(t, w.client(t, "HTTP/2.0"), "GET", "/", nil, nil); a.StatusCode != http.StatusOK {
		t.Errorf("afterwards: got %d", a.StatusCode)
	}
}

// A panic in a handshake ends that connection and nothing else.
func TestPanicInAHandshake(t *testing.T) {
	certificate, client := certificates(t)
	first := true
	l, log := newListener(t, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if first {
				first = false
				panic("secret")
			}
			return &certificate.Certificates[0], nil
		},
	}, testTimeout)
	if err := tls.Client(dial(t, l), client).HandshakeContext(t.Context()); err == nil {
		t.Error("the first handshake succeeded")
	}
	log.await(t, "panic in a TLS handshake", "panic", "a value that is not shown")
	done := handshake(t, l, client)
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = accepted.Close()
	if err := <-done; err != nil {
		t.Errorf("the second handshake: %v", err)
	}
}

// Close lets the handshakes that are under way become connections, then Accept
// fails, and nothing of the listener is left.
func TestCloseWhileHandshakesRun(t *testing.T) {
	certificate, client := certificates(t)
	hold, entered := make(chan struct{}), make(chan struct{})
	l, _ := newListener(t, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			close(entered)
			<-hold
			return &certificate.Certificates[0], nil
		},
	}, testTimeout)
	done := handshake(t, l, client)
	<-entered
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	close(hold)
	accepted, err := l.Accept()
	if err != nil {
		t.Fatalf("Accept: %v, want the connection under way", err)
	}
	_ = accepted.Close()
	if err := <-done; err != nil {
		t.Errorf("the client: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: got %v, want net.ErrClosed", err)
	}
	expectNoGoroutines(t)
}

// A connection that nobody accepts any more is closed, not kept.
func TestCloseWithoutAccept(t *testing.T) {
	l, _ := newListener(t, nil, 100*time.Millisecond)
	c := dial(t, l)
	if _, err := io.ReadAll(c); err != nil && !isReset(err) {
		t.Errorf("got %v, want the end", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	expectNoGoroutines(t)
}

// expectNoGoroutines waits until none of the package's goroutines is left.
func expectNoGoroutines(t *testing.T) {
	t.Helper()
	var stacks string
	eventually(t, "the end of all goroutines of the listener", func() bool {
		buffer := make([]byte, 1<<20)
		stacks = string(buffer[:runtime.Stack(buffer, true)])
		return !strings.Contains(stacks, "web.(*Listener)")
	})
}

// Many clients at once, good and bad, in both protocols. When the server has
// stopped, no goroutine is left.
func TestServiceLeavesNoGoroutines(t *testing.T) {
	t.Run("life", func(t *testing.T) {
		w := newService(limits).listen(t)
		path := w.post(t, "hello")
		var clients sync.WaitGroup
		for i := range 8 {
			c := w.client(t, protocols[i%2])
			clients.Go(func() {
				for range 20 {
					if a := send(t, c, "GET", path, nil, nil); a.StatusCode != http.StatusOK {
						t.Errorf("got %d", a.StatusCode)
					}
					if a := send(t, c, "GET", "/msg/"+message.NewID().Reveal(), nil, nil); a.StatusCode != http.StatusNotFound {
						t.Errorf("got %d", a.StatusCode)
					}
				}
			})
			clients.Go(func() {
				if got := statuses(w.raw(t, "bad\r\n\r\n")); got != "[400]" {
					t.Errorf("got %s", got)
				}
			})
		}
		clients.Wait()
	})
	expectNoGoroutines(t)
}

// Accept returns the inner listener's errors: the server waits and tries again.
func TestAcceptPassesErrorsOn(t *testing.T) {
	inner := &failingListener{fail: errBroken}
	l := web.NewListener(inner, nil, testTimeout, logTo(slog.New(slog.DiscardHandler)), noObserver{})
	for range 3 {
		if _, err := l.Accept(); !errors.Is(err, errBroken) {
			t.Errorf("Accept: got %v, want %v", err, errBroken)
		}
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	expectNoGoroutines(t)
}

// A failingListener accepts nothing.
type failingListener struct {
	net.Listener
	fail error
}

func (l *failingListener) Accept() (net.Conn, error) { return nil, l.fail }
func (l *failingListener) Close() error              { return nil }
