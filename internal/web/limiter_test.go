package web_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// A fakeLimiter is a Limiter that remembers what it was asked and denies what it is
// told to.
type fakeLimiter struct {
	mu     sync.Mutex // guards what follows
	deny   string     // an event, with or without its size
	speak  bool       // sets the RateLimit fields also where nothing is denied
	events []string
}

func (b *fakeLimiter) ask(h http.Header, event string) *web.Denial {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, event)
	name, _, _ := strings.Cut(event, ":")
	denied := b.deny == event || b.deny == name
	if h != nil && (b.speak || denied) {
		h["Ratelimit"] = []string{`"` + name + `";r=1;t=1`}
		h["Ratelimit-Policy"] = []string{`"` + name + `";q=1;w=1`}
	}
	if denied {
		return &web.Denial{Budget: name, RetryAfter: 7}
	}
	return nil
}

// set makes the limiter deny this budget from now on, or none if it is empty.
func (b *fakeLimiter) set(deny string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deny, b.events = deny, nil
}

func (b *fakeLimiter) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

func (b *fakeLimiter) Read(_ web.Client, h http.Header) *web.Denial { return b.ask(h, "read") }

func (b *fakeLimiter) Missed(_ web.Client, h http.Header) { b.ask(h, "miss") }

func (b *fakeLimiter) Sent(_ web.Client, n int, h http.Header) { b.ask(h, fmt.Sprint("sent:", n)) }

func (b *fakeLimiter) Guess(_ web.Client, h http.Header) *web.Denial { return b.ask(h, "guess") }

func (b *fakeLimiter) Create(_ web.Client, token string, n int, h http.Header) *web.Denial {
	return b.ask(h, fmt.Sprint("create:", n-web.MessageOverhead, token))
}

func (b *fakeLimiter) Fits(_ web.Client, token string, n int, h http.Header) *web.Denial {
	return b.ask(h, fmt.Sprint("fits:", n-web.MessageOverhead, token))
}

func (b *fakeLimiter) Stored(_ web.Client, n int, h http.Header) {
	b.ask(h, fmt.Sprint("stored:", n-web.MessageOverhead))
}

// unreadableBody is a body that must not be read.
type unreadableBody struct{ t *testing.T }

func (u unreadableBody) Read([]byte) (int, error) {
	u.t.Error("the body of a request was read that its budget had refused")
	return 0, io.EOF
}

// Which budgets are asked, in which order, and whether the body is read before.
func TestBudgets(t *testing.T) {
	s := newService(limits)
	s.limiter.speak = true
	path := s.ask("POST", "/", fields("Content-Type", typeText), strings.NewReader("hello")).Header.Get("Location")
	path = path[strings.Index(path, "/msg/"):]
	text := fields("Content-Type", typeText)
	sent := fmt.Sprint("sent:", len(s.ask("GET", path, text, nil).body))
	for _, c := range []struct {
		name, method, target, body, deny string
		fault                            func() error
		chunked, unreadableBody          bool
		status                           int
		asked                            string
	}{
		{name: "created", method: "POST", target: "/", body: "x", status: 200, asked: "create:1 fits:1 stored:1"},
		{name: "created, with a length that is not known", method: "POST", target: "/", body: "x", chunked: true, status: 200, asked: "create:0 fits:1 stored:1"},
		{name: "no creations left", method: "POST", target: "/", deny: "create", status: 429, asked: "create:0"},
		{name: "no bytes left", method: "POST", target: "/", body: "xyz", deny: "create:3", unreadableBody: true, status: 429, asked: "create:3"},
		{name: "no bytes left, with a length that is not known", method: "POST", target: "/", body: "xyz", chunked: true, deny: "fits:3", status: 429, asked: "create:0 fits:3"},
		{name: "no bytes left for a body that says it is huge", method: "POST", target: "/", body: strings.Repeat("x", 1<<20), deny: "create:262144", unreadableBody: true, status: 429, asked: "create:262144"},
		{name: "a bad creation has used its budget", method: "POST", target: "/?x=y", body: "x", status: 400, asked: "create:1"},
		{name: "store full", method: "POST", target: "/", body: "x", fault: func() error { return message.ErrFull }, status: 507, asked: "create:1 fits:1"},
		{name: "store gone", method: "POST", target: "/", body: "x", fault: func() error { return message.ErrUnavailable }, status: 503, asked: "create:1 fits:1"},
		{name: "store panics", method: "POST", target: "/", body: "x", fault: func() error { panic("x") }, status: 500, asked: "create:1 fits:1"},
		{name: "read", method: "GET", target: path, status: 200, asked: "read " + sent},
		{name: "HEAD is a read", method: "HEAD", target: path, status: 200, asked: "read " + sent},
		{name: "no reads left", method: "GET", target: path, deny: "read", status: 429, asked: "read",
			fault: func() error { panic("the store was asked") }},
		{name: "missed", method: "GET", target: "/msg/" + message.NewID().Reveal(), status: 404, asked: "read miss"},
		{name: "a malformed id is a miss", method: "GET", target: "/msg/x", status: 404, asked: "read miss"},
		{name: "a store that is gone is no miss", method: "GET", target: path, fault: func() error { return message.ErrUnavailable }, status: 503, asked: "read"},
		{name: "the description is free", method: "GET", target: "/", status: 200},
		{name: "so is another path", method: "GET", target: "/x", status: 404},
		{name: "so is another method", method: "PUT", target: path, status: 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.limiter.set(c.deny)
			s.store.failWith(c.fault)
			defer s.store.failWith(nil)
			var body io.Reader = strings.NewReader(c.body)
			switch {
			case c.deny == "create":
				body = unreadableBody{t}
			case c.unreadableBody:
				body = unreadableBody{t}
			case c.chunked:
				body = io.MultiReader(body) // which hides its length
			}
			a := s.ask(c.method, c.target, text, body, func(r *http.Request) {
				if c.unreadableBody {
					r.ContentLength = int64(len(c.body))
				}
			})
			if a.StatusCode != c.status {
				t.Errorf("got %s, want %d", a.Status, c.status)
			}
			if got := strings.Join(s.limiter.asked(), " "); got != c.asked {
				t.Errorf("budgets: got %q, want %q", got, c.asked)
			}
			if want := map[bool]string{true: "7"}[c.status == 429]; c.status != 503 && a.Header.Get("Retry-After") != want {
				t.Errorf("Retry-After: got %q, want %q", a.Header.Get("Retry-After"), want)
			}
			if limited := c.asked != ""; (a.Header.Get("RateLimit") != "") != limited || (a.Header.Get("RateLimit-Policy") != "") != limited {
				t.Errorf("RateLimit fields: got %q, limited %v", a.Header.Get("RateLimit"), limited)
			}
		})
	}
}

// A request is refused at once if all slots and all places in the queue are taken,
// and later if it waits too long. A slot that is given back serves the next request.
func TestInFlight(t *testing.T) {
	s := newStack(nil)
	load := web.NewInFlight(1, 50*time.Millisecond, limits.MaxBytes, oneClient)
	o := newCountingObserver()
	s.handler = web.Serve(s.lines(), o, load, web.Hosts(nil, web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, testPage)))
	entered, leave := make(chan struct{}), make(chan struct{})
	s.store.failWith(func() error {
		entered <- struct{}{}
		<-leave
		return message.ErrNotFound
	})
	target := "/msg/" + message.NewID().Reveal()
	first := make(chan answer)
	go func() { first <- s.ask("GET", target, nil, nil) }()
	<-entered
	if load.Now() != 1 {
		t.Errorf("in flight: got %d, want 1", load.Now())
	}
	for _, method := range []string{"GET", "HEAD"} {
		a := s.ask(method, target, nil, nil)
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s beyond the places: got %s, Retry-After %q, want 503", method, a.Status, a.Header.Get("Retry-After"))
		}
	}
	o.expect(t, map[string]int{"request /msg/{id} HTTP/1.1 503": 2, "refused in-flight": 2})
	if a := s.ask("GET", "/", nil, nil); a.StatusCode != http.StatusOK {
		t.Errorf("the description, which needs no place: got %s", a.Status)
	}
	close(leave)
	if a := <-first; a.StatusCode != http.StatusNotFound {
		t.Errorf("the one in flight: got %s, want 404", a.Status)
	}
	s.store.failWith(nil)
	if a := s.ask("GET", target, nil, nil); a.StatusCode != http.StatusNotFound || load.Now() != 0 {
		t.Errorf("afterwards: got %s with %d in flight, want 404 and none", a.Status, load.Now())
	}
}
