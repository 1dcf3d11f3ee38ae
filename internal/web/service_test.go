package web_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// testTimeout bounds every wait for something that should come at once.
const testTimeout = time.Minute

var limits = web.Limits{MaxBytes: 256 << 10, TTL: 168 * time.Hour, TTLMax: 168 * time.Hour}

// memoryStore is a Store that can be told to misbehave.
type memoryStore struct {
	mu     sync.Mutex
	values map[message.Key][]byte
	texts  map[message.Key][]byte
	fault  func() error // if set, it runs instead of Put and Get
	calls  int
}

func newMemoryStore() *memoryStore {
	return &memoryStore{values: make(map[message.Key][]byte), texts: make(map[message.Key][]byte)}
}

// failWith makes the store fail, until it is called with nil.
func (s *memoryStore) failWith(fault func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *memoryStore) enter() error {
	s.calls++
	if s.fault != nil {
		return s.fault()
	}
	return nil
}

func (s *memoryStore) Put(_ context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return err
	}
	if ttl < time.Second || ttl%time.Second != 0 {
		return errors.New("the ttl is not whole seconds")
	}
	s.values[key] = bytes.Clone(record)
	if text != nil {
		s.texts[key] = bytes.Clone(text)
	}
	return nil
}

func (s *memoryStore) Get(_ context.Context, key message.Key) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return nil, err
	}
	record, ok := s.values[key]
	if !ok {
		return nil, message.ErrNotFound
	}
	return bytes.Clone(record), nil
}

func (s *memoryStore) Swap(_ context.Context, key message.Key, old, record []byte, life message.TextLife) (text []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return nil, err
	}
	if now, ok := s.values[key]; !ok || !bytes.Equal(now, old) {
		return nil, message.ErrConflict
	}
	s.values[key] = bytes.Clone(record)
	text = bytes.Clone(s.texts[key])
	if life == message.DropText {
		delete(s.texts, key)
	}
	return text, nil
}

// tamper flips a bit of everything that is stored.
func (s *memoryStore) tamper() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range s.values {
		value[len(value)-1] ^= 1
	}
}

// count returns how many calls there were and how many values there are.
func (s *memoryStore) count() (calls, values int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, len(s.values)
}

// A logBuffer keeps the log, at debug level, as JSON lines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *logBuffer) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *logBuffer) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// lines returns the lines with a message.
func (j *logBuffer) lines(t testing.TB, msg string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for text := range strings.Lines(j.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("log line %q: %v", text, err)
		}
		if line["msg"] == msg {
			found = append(found, line)
		}
	}
	return found
}

// await returns the lines with a message and a value, once there is one: a line
// is written after its answer has gone out.
func (j *logBuffer) await(t testing.TB, msg, name string, value any) []map[string]any {
	t.Helper()
	var found []map[string]any
	eventually(t, "a log line "+msg, func() bool {
		found = nil
		for _, line := range j.lines(t, msg) {
			if line[name] == value {
				found = append(found, line)
			}
		}
		return found != nil
	})
	return found
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(testTimeout)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited %v without %s", testTimeout, what)
		}
	}
}

// A service is the whole handler stack on a memoryStore.
type service struct {
	store   *memoryStore
	limiter *fakeLimiter
	log     *logBuffer
	logger  *slog.Logger
	handler http.Handler

	observer web.Observer // the listener's
	suppress func(sender netip.Addr, status int, limit string) bool
}

// lines is the log as the package wants it.
func (s *service) lines() web.Log {
	return web.Log{Logger: s.logger, Sender: senderOf, Suppress: s.suppress}
}

// logTo has a line for each request.
func logTo(log *slog.Logger) web.Log {
	return web.Log{Logger: log, Sender: senderOf, Suppress: allLines}
}

func allLines(netip.Addr, int, string) bool { return false }

// largeInFlight is a bound that these tests do not reach.
func largeInFlight() *web.InFlight {
	return web.NewInFlight(512, time.Second, limits.MaxBytes, oneClient)
}

func oneClient(netip.Addr) web.Client { return web.Client{} }

// newService returns a service for these hosts, or any.
func newService(limits web.Limits, hosts ...string) *service {
	s := newStack(nil)
	s.handler = web.Serve(s.lines(), noObserver{}, largeInFlight(), web.Hosts(hosts, web.Origin("", web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, testPage))))
	return s
}

// newStack returns a service that answers with any handler.
func newStack(handler web.Handler) *service {
	s := &service{store: newMemoryStore(), limiter: new(fakeLimiter), log: new(logBuffer), observer: noObserver{}, suppress: allLines}
	s.logger = slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.handler = web.Serve(s.lines(), noObserver{}, largeInFlight(), handler)
	return s
}

// An answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

func (a answer) id() string { return a.Header.Get(web.RequestIDHeader) }

// fields makes header fields of a list of names and values.
func fields(namesAndValues ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(namesAndValues); i += 2 {
		h.Add(namesAndValues[i], namesAndValues[i+1])
	}
	return h
}

// ask sends a request through the handlers, without a network, after it was
// changed.
func (s *service) ask(method, target string, h http.Header, body io.Reader, change ...func(*http.Request)) answer {
	r := httptest.NewRequestWithContext(context.Background(), method, target, body)
	for name, values := range h {
		r.Header[name] = values
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

// post creates a message and returns the path of its link.
func (s *service) post(t testing.TB, text string) string {
	t.Helper()
	a := s.ask("POST", "/", fields("Content-Type", "text/plain", "Accept", "text/plain"), strings.NewReader(text))
	if a.StatusCode != http.StatusOK {
		t.Fatalf("POST: %d %s", a.StatusCode, a.body)
	}
	link, err := url.Parse(strings.TrimSuffix(a.body, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return link.Path
}

// A testServer is a service on a loopback port, served as cmd does it.
type testServer struct {
	*service
	address string
	tls     *tls.Config // for clients; nil: plain

	connections atomic.Int64 // so far
}

// certificates returns the TLS configuration of a server for example.com, and
// of its clients.
func certificates(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	borrowed := httptest.NewTLSServer(nil)
	borrowed.Close()
	roots := x509.NewCertPool()
	roots.AddCert(borrowed.Certificate())
	return &tls.Config{Certificates: borrowed.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
}

// listen serves over TLS until the test ends. It is told how to change the
// server, if at all.
func (s *service) listen(t testing.TB, change ...func(*http.Server)) *testServer {
	t.Helper()
	server, client := certificates(t)
	w := s.listenTLS(t, server, change...)
	w.tls = client
	return w
}

// listenTLS serves with any TLS configuration, or none.
func (s *service) listenTLS(t testing.TB, config *tls.Config, change ...func(*http.Server)) *testServer {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &testServer{service: s, address: inner.Addr().String()}
	listener := web.NewListener(inner, config, testTimeout, s.lines(), s.observer)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	server := &http.Server{
		Handler:                      s.handler,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            testTimeout,
		MaxHeaderBytes:               16 << 10,
		Protocols:                    &protocols,
		ConnContext:                  listener.ConnContext,
		ConnState: func(c net.Conn, state http.ConnState) {
			listener.ConnState(c, state)
			if state == http.StateNew {
				w.connections.Add(1)
			}
		},
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	for _, f := range change {
		f(server)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = listener.Close()
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return w
}

// protocols are what clients speak.
var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// client returns a client that speaks one protocol and follows nothing.
func (w *testServer) client(t testing.TB, protocol string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig:    w.tls.Clone(),
		DisableCompression: true,
		Protocols:          new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.address)
		},
	}
	transport.Protocols.SetHTTP1(protocol == "HTTP/1.1")
	transport.Protocols.SetHTTP2(protocol == "HTTP/2.0")
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       testTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send sends a request with a client and reads the answer.
func send(t testing.TB, c *http.Client, method, target string, h http.Header, body io.Reader) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://example.com"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range h {
		r.Header[name] = values
		if name == "Host" {
			r.Host = values[0]
		}
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", method, target, err)
	}
	return answer{resp, string(b)}
}

// dial opens a connection for HTTP/1.
func (w *testServer) dial(t testing.TB) net.Conn {
	t.Helper()
	var c net.Conn
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	if w.tls != nil {
		c = tls.Client(c, w.tls)
	}
	return c
}

// raw sends bytes as they are and returns all answers until the server closes.
// The methods are those of the requests, GET where none are given.
func (w *testServer) raw(t testing.TB, input string, methods ...string) []answer {
	t.Helper()
	c := w.dial(t)
	if _, err := io.WriteString(c, input); err != nil {
		t.Fatalf("sending %.60q: %v", input, err)
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	answers, err := readAll(bufio.NewReader(c), methods...)
	if err != nil {
		t.Fatalf("after %.60q: %v", input, err)
	}
	return answers
}

// readAll reads answers up to the end.
func readAll(r *bufio.Reader, methods ...string) ([]answer, error) {
	var answers []answer
	for i := 0; ; i++ {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return answers, nil
		} else if err != nil {
			return nil, err
		}
		request := &http.Request{Method: http.MethodGet}
		if i < len(methods) {
			request.Method = methods[i]
		}
		a, err := readAnswer(r, request)
		if err != nil {
			return nil, err
		}
		answers = append(answers, a)
	}
}

func readAnswer(r *bufio.Reader, request *http.Request) (answer, error) {
	resp, err := http.ReadResponse(r, request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, string(body)}, err
}

// errBroken is no error that a Store may return.
var errBroken = errors.New("the store is broken")

// bytes sends a request and returns all that comes back, as it is.
func (w *testServer) bytes(t testing.TB, input string) string {
	t.Helper()
	c := w.dial(t)
	if _, err := io.WriteString(c, input); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
