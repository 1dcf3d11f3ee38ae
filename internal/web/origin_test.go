package web_test

import (
	"net/http"
	"strings"
	"testing"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// What a page of another site makes a browser send is refused before anything is
// charged or stored. What a person opens and what programs send is not.
func TestForeignPages(t *testing.T) {
	w := newService(limits, "example.com").listen(t)
	path := w.post(t, "hello")
	refused := 0
	page := func(site, mode, dest string, more ...string) http.Header {
		return fields(append([]string{"Sec-Fetch-Site", site, "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", dest}, more...)...)
	}
	for name, tc := range map[string]struct {
		header http.Header
		get    bool // is let through
		post   bool
	}{
		"a program":                   {nil, true, true},
		"an address that was typed":   {page("none", "navigate", "document"), true, true},
		"our own page":                {page("same-origin", "cors", "empty", "Origin", "https://example.com"), true, true},
		"a link on another site":      {page("cross-site", "navigate", "document"), true, false},
		"a link on a sibling":         {page("same-site", "navigate", "document"), true, false},
		"a form on another site":      {page("cross-site", "navigate", "document", "Origin", "https://evil.example"), true, false},
		"an image":                    {page("cross-site", "no-cors", "image"), false, false},
		"an image on a sibling":       {page("same-site", "no-cors", "image"), false, false},
		"a script":                    {page("cross-site", "no-cors", "script"), false, false},
		"fetch":                       {page("cross-site", "cors", "empty", "Origin", "https://evil.example"), false, false},
		"fetch without cors":          {page("cross-site", "no-cors", "empty"), false, false},
		"a frame":                     {page("cross-site", "navigate", "iframe"), false, false},
		"an object":                   {page("cross-site", "navigate", "object"), false, false},
		"an old browser":              {fields("Origin", "https://evil.example"), true, false},
		"an old browser, our page":    {fields("Origin", "https://example.com"), true, true},
		"an old browser, a sandbox":   {fields("Origin", "null"), true, false},
		"an old browser, a long name": {fields("Origin", "https://"+strings.Repeat("a", 4000)), true, false},
	} {
		for _, protocol := range protocols {
			c := w.client(t, protocol)
			for _, e := range []struct {
				method, target string
				passes         bool
				asked          int // of the budgets, where it passes
			}{
				{"GET", path, tc.get, 2}, {"HEAD", path, tc.get, 2}, {"GET", "/", tc.get, 0}, {"GET", "/msg/x", tc.get, 2}, {"GET", "/x", tc.get, 0},
				{"POST", "/", tc.post, 3}, {"DELETE", path, tc.post, 0}, {"POST", path, tc.post, 1},
			} {
				w.limiter.set("")
				_, before := w.store.count()
				h := tc.header.Clone()
				if h == nil {
					h = make(http.Header)
				}
				h.Set("Content-Type", typeText)
				a := send(t, c, e.method, e.target, h, strings.NewReader("x"))
				if !e.passes {
					refused++
					if a.StatusCode != http.StatusForbidden || len(w.limiter.asked()) != 0 {
						t.Errorf("%s: %s %s %s: got %d, charged %v, want a 403 that charges nothing", name, protocol, e.method, e.target, a.StatusCode, w.limiter.asked())
					}
					if _, after := w.store.count(); after != before {
						t.Errorf("%s: %s %s: a message was stored", name, protocol, e.method)
					}
					continue
				}
				if a.StatusCode == http.StatusForbidden || len(w.limiter.asked()) != e.asked {
					t.Errorf("%s: %s %s %s: got %d, charged %v", name, protocol, e.method, e.target, a.StatusCode, w.limiter.asked())
				}
			}
		}
	}
	eventually(t, "log lines with the event foreign", func() bool {
		told := 0
		for _, line := range w.log.lines(t, "request") {
			if (line["event"] == "foreign") != (line["status"] == 403.0) {
				t.Fatalf("log line %v: the event foreign belongs to a 403", line)
			}
			if line["event"] == "foreign" {
				told++
			}
		}
		return told == refused
	})
}

// The order of judgement: host, foreign page, path, method, budget, then the rest.
func TestOrderOfJudgement(t *testing.T) {
	w := newService(limits, "example.com").listen(t)
	w.limiter.set("create")
	foreign := []string{"Sec-Fetch-Site", "cross-site", "Accept", "image/png", "Content-Type", "image/png"}
	for _, tc := range []struct {
		method, target string
		header         http.Header
		want           int
	}{
		{"BREW", "/x", fields(append([]string{"Host", "example.org"}, foreign...)...), 421},
		{"BREW", "/x", fields(foreign...), 403},
		{"BREW", "/x", fields(foreign[2:]...), 404},
		{"BREW", "/", fields(foreign[2:]...), 405},
		{"POST", "/", fields(foreign[2:]...), 429},
	} {
		if a := send(t, w.client(t, "HTTP/2.0"), tc.method, tc.target, tc.header, nil); a.StatusCode != tc.want {
			t.Errorf("%s %s %v: got %d, want %d", tc.method, tc.target, tc.header, a.StatusCode, tc.want)
		}
	}
	w.limiter.set("")
	if a := send(t, w.client(t, "HTTP/2.0"), "POST", "/", fields(foreign[2:]...), nil); a.StatusCode != http.StatusNotAcceptable {
		t.Errorf("without a spent budget: got %d, want 406", a.StatusCode)
	}
}

// Links begin with the public URL, and its origin is ours even if the proxy asks for
// another host.
func TestPublicURL(t *testing.T) {
	const public = "https://msg.example:8443/notes"
	s := newService(limits)
	s.handler = web.Serve(s.lines(), noObserver{}, largeInFlight(), web.Hosts(nil, web.Origin(public,
		web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, testPage))))
	for origin, want := range map[string]int{"https://msg.example:8443": 200, "https://msg.example": 403, "http://msg.example:8443": 403} {
		a := s.ask("POST", "/", fields("Origin", origin, "Content-Type", typeText), strings.NewReader("x"), func(r *http.Request) { r.Host = "backend" })
		if a.StatusCode != want {
			t.Errorf("Origin %s: got %d, want %d", origin, a.StatusCode, want)
		}
		if got := a.Header.Get("Location"); want == 200 && !strings.HasPrefix(got, public+"/msg/") {
			t.Errorf("Location: %q, want it to begin with %q", got, public)
		}
	}
	a := s.ask("PUT", "/notes.txt", nil, nil)
	expectProblem(t, a, 404, "'Content-Type: text/plain' "+public+"/")
}
