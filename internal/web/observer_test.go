package web_test

import (
	"crypto/tls"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// noObserver is an Observer that counts nothing.
type noObserver struct{}

func (noObserver) Request(string, string, int, time.Duration) {}
func (noObserver) Refused(string)                             {}
func (noObserver) Message(string)                             {}
func (noObserver) Handshake(uint16, bool)                     {}
func (noObserver) HandshakeFailed(string)                     {}

// A countingObserver is an Observer that keeps counts.
type countingObserver struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
}

func newCountingObserver() *countingObserver { return &countingObserver{seen: make(map[string]int)} }

func (o *countingObserver) add(what ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen[strings.TrimSuffix(fmt.Sprintln(what...), "\n")]++
}

func (o *countingObserver) Request(route, protocol string, status int, took time.Duration) {
	if took < 0 {
		o.add("a negative time")
	}
	o.add("request", route, protocol, status)
}
func (o *countingObserver) Message(event string) { o.add("message", event) }

func (o *countingObserver) Refused(limit string) { o.add("refused", limit) }
func (o *countingObserver) Handshake(version uint16, resumed bool) {
	o.add(tls.VersionName(version), resumed)
}
func (o *countingObserver) HandshakeFailed(text string) {
	o.add("failed", strings.Contains(text, "EOF"))
}
func (o *countingObserver) expect(t *testing.T, want map[string]int) {
	t.Helper()
	var got map[string]int
	defer func() {
		if t.Failed() {
			t.Logf("got  %v\nwant %v", got, want)
		}
	}()
	eventually(t, "the observer's counts", func() bool { // they follow the answer
		o.mu.Lock()
		defer o.mu.Unlock()
		got = maps.Clone(o.seen)
		return maps.Equal(got, want)
	})
}

// Every answer is counted once, under names that are known in advance, whoever
// made it; and so is every handshake.
func TestObserverCounts(t *testing.T) {
	o := newCountingObserver()
	s := newStack(nil)
	s.observer = o
	s.handler = web.Serve(s.lines(), o, largeInFlight(), web.Hosts([]string{"example.com"},
		web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, testPage)))
	w := s.listen(t)
	want := make(map[string]int)
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for _, request := range []struct{ method, target, host string }{
			{"GET", "/", "example.com"},
			{"POST", "/", "example.com"},
			{"GET", "/msg/x", "example.com"},
			{"GET", "/x", "example.com"},
			{"GET", "/msg/x", "example.org"},
		} {
			send(t, c, request.method, request.target, fields("Host", request.host), nil)
		}
		want["request / "+protocol+" 200"] = 1
		want["request / "+protocol+" 400"] = 1
		want["request /msg/{id} "+protocol+" 404"] = 1
		want["request other "+protocol+" 404"] = 1
		want["request other "+protocol+" 421"] = 1
	}
	want["TLS 1.3 false"] = 2
	o.expect(t, want)

	w.raw(t, "nonsense\r\n\r\n")
	want["TLS 1.3 false"]++
	want["request other HTTP/1.1 400"] = 1
	o.expect(t, want)

	plainOnTLS(t, w)
	want["failed false"] = 1
	want["request other HTTP/1.1 400"]++
	o.expect(t, want)

	conn := (&testServer{service: s, address: w.address}).dial(t)
	_ = conn.Close()
	want["failed true"] = 1
	o.expect(t, want)
}

func TestObserverSeesResumption(t *testing.T) {
	o := newCountingObserver()
	s := newService(limits)
	s.observer = o
	w := s.listen(t)
	w.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for range 2 {
		w.raw(t, "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n")
	}
	o.expect(t, map[string]int{"TLS 1.3 false": 1, "TLS 1.3 true": 1})
}

// A refusal names its limit, to the observer and in the log.
func TestRefusalsNameTheirLimit(t *testing.T) {
	o := newCountingObserver()
	s := newStack(nil)
	load := web.NewInFlight(1, 0, limits.MaxBytes, oneClient)
	s.handler = web.Serve(s.lines(), o, load, web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, testPage))
	path := "/msg/" + message.NewID().Reveal()
	s.limiter.set("read")
	refused := s.ask("GET", path, nil, nil)
	s.limiter.set("")
	var shed answer
	s.store.failWith(func() error { // while this one is being worked on
		shed = s.ask("POST", "/", fields("Content-Type", typeText), strings.NewReader("x"))
		return message.ErrNotFound
	})
	s.ask("GET", path, nil, nil)
	o.expect(t, map[string]int{
		"request /msg/{id} HTTP/1.1 429": 1, "refused read": 1,
		"request / HTTP/1.1 503": 1, "refused in-flight": 1,
		"request /msg/{id} HTTP/1.1 404": 1,
	})
	for a, limit := range map[*answer]string{&refused: "read", &shed: web.LimitInFlight} {
		if line := s.log.await(t, "request", "request_id", a.id())[0]; line["limit"] != limit || line["event"] != "limit" {
			t.Errorf("log line %v: want the event limit, by %s", line, limit)
		}
	}
}
