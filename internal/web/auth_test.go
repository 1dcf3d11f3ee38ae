package web_test

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// oneToken is a [web.Tokens] with one token. It keeps the names of creations.
type oneToken struct{ created []string }

const rightToken = "right-token-of-16"

func (o *oneToken) Name(token string) (string, bool) {
	if token == rightToken {
		return "alice", true
	}
	return "", false
}

func (o *oneToken) Created(name string) { o.created = append(o.created, name) }

// restricted returns a service with these creators. Requests of these tests come from
// 192.0.2.1.
func restricted(creators web.Creators) *service {
	s := newStack(nil)
	s.handler = web.Serve(s.lines(), noObserver{}, largeInFlight(), web.Hosts([]string{"example.com"}, web.Origin("",
		web.Routes(message.NewBox(s.store), limits, s.limiter, creators, testPage))))
	return s
}

// Who may create, which budget a refusal is charged to, and that no refused body is read.
func TestCreators(t *testing.T) {
	here, elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	const (
		challenge = `Bearer realm="messaging_api"`
		invalid   = `Bearer realm="messaging_api", error="invalid_token"`
	)
	for _, c := range []struct {
		name      string
		noTokens  bool
		from      []netip.Prefix
		header    []string // values of Authorization
		deny      string
		status    int
		challenge string
		asked     string
		created   []string // names of tokens
	}{
		{name: "anyone", noTokens: true, status: 200, asked: "create:1 fits:1 stored:1"},
		{name: "right", header: []string{"Bearer " + rightToken}, status: 200, asked: "guess create:1alice fits:1alice stored:1", created: []string{"alice"}},
		{name: "right, in small letters, with spaces around", header: []string{"bearer   " + rightToken + " "}, status: 200, asked: "guess create:1alice fits:1alice stored:1", created: []string{"alice"}},
		{name: "none", status: 401, challenge: challenge, asked: "create:1"},
		{name: "none, and no creations left", deny: "create", status: 429, asked: "create:1"},
		{name: "another scheme", header: []string{"Basic " + rightToken}, status: 401, challenge: challenge, asked: "create:1"},
		{name: "an empty one", header: []string{"Bearer "}, status: 401, challenge: challenge, asked: "create:1"},
		{name: "two", header: []string{"Bearer " + rightToken, "Bearer " + rightToken}, status: 401, challenge: challenge, asked: "create:1"},
		{name: "wrong", header: []string{"Bearer wrong-token-of-16"}, status: 401, challenge: invalid, asked: "guess miss"},
		{name: "cut", header: []string{"Bearer " + rightToken[:len(rightToken)-1]}, status: 401, challenge: invalid, asked: "guess miss"},
		{name: "with a space in it", header: []string{"Bearer " + rightToken[:8] + " " + rightToken[8:]}, status: 401, challenge: invalid, asked: "guess miss"},
		{name: "of 10 KB", header: []string{"Bearer " + strings.Repeat("x", 10_000)}, status: 401, challenge: invalid, asked: "guess miss"},
		{name: "right, after too many misses", header: []string{"Bearer " + rightToken}, deny: "guess", status: 429, asked: "guess"},
		{name: "wrong, after too many misses", header: []string{"Bearer wrong-token-of-16"}, deny: "guess", status: 429, asked: "guess"},
		{name: "the right address", noTokens: true, from: here, status: 200, asked: "create:1 fits:1 stored:1"},
		{name: "a foreign address", noTokens: true, from: elsewhere, status: 403, asked: "create:1"},
		{name: "a foreign address with a token", noTokens: true, from: elsewhere, header: []string{"Bearer " + rightToken}, status: 403, asked: "create:1"},
		{name: "both: the address", from: here, status: 200, asked: "create:1 fits:1 stored:1", created: []string{""}},
		{name: "both: the address, and a wrong token", from: here, header: []string{"Bearer wrong-token-of-16"}, status: 200, asked: "create:1 fits:1 stored:1", created: []string{""}},
		{name: "both: the address and the token", from: here, header: []string{"Bearer " + rightToken}, status: 200, asked: "create:1alice fits:1alice stored:1", created: []string{"alice"}},
		{name: "both: the token", from: elsewhere, header: []string{"Bearer " + rightToken}, status: 200, asked: "guess create:1alice fits:1alice stored:1", created: []string{"alice"}},
		{name: "both: neither", from: elsewhere, status: 401, challenge: challenge, asked: "create:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokens := new(oneToken)
			creators := web.Creators{Tokens: tokens, From: c.from}
			if c.noTokens {
				creators.Tokens = nil
			}
			s := restricted(creators)
			s.limiter.set(c.deny)
			var body io.Reader = strings.NewReader("x")
			if c.status != http.StatusOK {
				body = unreadableBody{t}
			}
			h := fields("Content-Type", typeText)
			if c.header != nil {
				h["Authorization"] = c.header
			}
			a := s.ask("POST", "/", h, body, func(r *http.Request) { r.ContentLength = 1 })
			if a.StatusCode != c.status || a.Header.Get("WWW-Authenticate") != c.challenge {
				t.Errorf("got %s with the challenge %q, want %d with %q", a.Status, a.Header.Get("WWW-Authenticate"), c.status, c.challenge)
			}
			if got := strings.Join(s.limiter.asked(), " "); got != c.asked {
				t.Errorf("budgets: got %q, want %q", got, c.asked)
			}
			if !slices.Equal(tokens.created, c.created) {
				t.Errorf("created with the tokens %q, want %q", tokens.created, c.created)
			}
			log := s.log.String()
			if strings.Contains(log, `"token":"alice"`) != slices.Contains(c.created, "alice") && c.status != http.StatusTooManyRequests {
				t.Errorf("the name of the token in the log: got %s", log)
			}
			if strings.Contains(log, rightToken[:8]) || strings.Contains(log, "wrong-token") {
				t.Errorf("the log holds the token: %s", log)
			}
			if denied := c.status == http.StatusUnauthorized || c.status == http.StatusForbidden; strings.Contains(log, `"event":"denied"`) != denied {
				t.Errorf("the event denied: got %s, want it %t", log, denied)
			}
		})
	}
}

// Host, origin, path and method are judged first, and charge nothing.
func TestCreatorsAreJudgedAfterTheRoute(t *testing.T) {
	s := restricted(web.Creators{Tokens: new(oneToken)})
	for _, c := range []struct {
		name, method, target string
		fields               http.Header
		status               int
	}{
		{"host", "POST", "https://other.example/", nil, 421},
		{"origin", "POST", "/", fields("Sec-Fetch-Site", "cross-site"), 403},
		{"path", "POST", "/x", nil, 404},
		{"method", "PUT", "/", nil, 405},
	} {
		s.limiter.set("")
		a := s.ask(c.method, c.target, c.fields, unreadableBody{t})
		if a.StatusCode != c.status || len(s.limiter.asked()) > 0 {
			t.Errorf("%s: got %s and the budgets %q, want %d and none", c.name, a.Status, s.limiter.asked(), c.status)
		}
	}
}

// A client with the link needs no token. The description says who needs one to create.
func TestReadingNeedsNoToken(t *testing.T) {
	s := restricted(web.Creators{Tokens: new(oneToken)})
	text := fields("Content-Type", typeText, "Authorization", "Bearer "+rightToken)
	plain := s.ask("POST", "/", text, strings.NewReader("hello"))
	limited := s.ask("POST", "/?reads=1", text, strings.NewReader("hello"))
	for what, a := range map[string]answer{
		"reading":     s.ask("GET", plain.Header.Get("Location"), nil, nil),
		"the state":   s.ask("GET", limited.Header.Get("Location"), nil, nil),
		"opening":     s.ask("POST", limited.Header.Get("Location"), nil, nil),
		"the page":    s.ask("GET", "/", fields("Accept", asBrowser), nil),
		"description": s.ask("GET", "/", nil, nil),
	} {
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s: got %s %s", what, a.Status, a.body)
		}
		if says := strings.Contains(a.body, `"create_token":true`); says != (what == "description") {
			t.Errorf("%s says that a token is needed: %t", what, says)
		}
	}
	if a := s.ask("GET", "/", fields("Accept", typeText), nil); !strings.Contains(a.body, "needs a token") {
		t.Errorf("the description as text: got %q", a.body)
	}
	for name, creators := range map[string]web.Creators{
		"anyone":           {},
		"a foreign client": {From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		"a trusted client": {Tokens: new(oneToken), From: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}},
	} {
		if a := restricted(creators).ask("GET", "/", nil, nil); strings.Contains(a.body, "create_token") {
			t.Errorf("%s: got %s, want no word of a token", name, a.body)
		}
	}
}
