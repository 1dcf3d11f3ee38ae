package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// testPage is a page with a different text in each coding.
var testPage = &web.Page{
	HTML:                  []byte("<!doctype html><p>" + strings.Repeat("page ", 20_000)),
	Gzip:                  []byte(strings.Repeat("gzip", 10_000)),
	Brotli:                []byte(strings.Repeat("br", 10_000)),
	ContentSecurityPolicy: "default-src 'none'; script-src 'sha256-x'",
	Permissions:           []string{"clipboard-write", "web-share"},
}

const (
	typeHTML  = "text/html; charset=utf-8"
	asBrowser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
)

// isPage reports whether an answer is the page.
func isPage(a answer) bool {
	return a.StatusCode == http.StatusOK && a.Header.Get("Content-Type") == typeHTML
}

// Browsers get the page for every path of a link, the same bytes for each, and the
// store is not asked. Their other requests get the same answers as without a page.
func TestPage(t *testing.T) {
	w := newService(limits).listen(t)
	path := w.post(t, "hello")
	limited, _ := w.createLimited(t, `{"message":"hello","reads":1}`)
	before, _ := w.store.count()
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for _, target := range []string{"/", path, limited, path + ").", "/msg/x", "/msg/", "/msg/a/b?c", "/msg/%3Cscript%3E", "/msg/" + strings.Repeat("x", 5000)} {
			a := send(t, c, "GET", target, fields("Accept", asBrowser), nil)
			if !isPage(a) || a.body != string(testPage.HTML) {
				t.Errorf("%s GET %.60s: got %s %s of %d bytes, want the page", protocol, target, a.Status, a.Header.Get("Content-Type"), len(a.body))
			}
			a = send(t, c, "HEAD", target, fields("Accept", asBrowser), nil)
			if !isPage(a) || a.ContentLength != int64(len(testPage.HTML)) {
				t.Errorf("%s HEAD %.60s: got %s %s and the length %d, want the page's %d", protocol, target, a.Status, a.Header.Get("Content-Type"), a.ContentLength, len(testPage.HTML))
			}
		}
		for target, status := range map[string]int{"/x": 404, "/msg": 404} {
			if a := send(t, c, "GET", target, fields("Accept", asBrowser), nil); a.StatusCode != status || a.Header.Get("Content-Type") != typeProblem {
				t.Errorf("%s GET %s: got %s %s, want %d", protocol, target, a.Status, a.Header.Get("Content-Type"), status)
			}
		}
		a := send(t, c, "POST", "/msg/x", fields("Accept", asBrowser), nil)
		if a.StatusCode != http.StatusNotFound || a.Header.Get("Vary") != "" {
			t.Errorf("%s POST: got %s with Vary %q, want 404 without", protocol, a.Status, a.Header.Get("Vary"))
		}
	}
	// The POSTs asked for what is unknown, without a valid id: no call either.
	if after, _ := w.store.count(); after != before {
		t.Errorf("the store was asked %d times", after-before)
	}
	if a := w.ask("POST", limited, nil, nil); a.StatusCode != http.StatusOK {
		t.Errorf("opening after the page: got %d", a.StatusCode)
	}
}

// The page costs a read. Without one a person gets a refusal to read, not JSON.
func TestPageCostsARead(t *testing.T) {
	s := newService(limits)
	for _, target := range []string{"/", "/msg/x"} {
		s.limiter.set("")
		if a := s.ask("GET", target, fields("Accept", asBrowser), nil); !isPage(a) || !slices.Equal(s.limiter.asked(), []string{"read"}) {
			t.Errorf("%s: got %d and charged %v, want the page for a read", target, a.StatusCode, s.limiter.asked())
		}
		s.limiter.set("read")
		if a := s.ask("GET", target, fields("Accept", asBrowser), nil); a.StatusCode != http.StatusTooManyRequests ||
			a.Header.Get("Content-Type") != typeHTML || !strings.Contains(a.body, "load this page again") || a.Header.Get("Retry-After") == "" || a.Header.Get("Vary") != "" {
			t.Errorf("%s without a read: got %d %v %q, want a 429 for people with Retry-After and without Vary", target, a.StatusCode, a.Header, a.body)
		}
		expectProblem(t, s.ask("GET", "/msg/x", nil, nil), http.StatusTooManyRequests, "Retry-After") // programs
	}
}

// Clients get the page if they rank HTML above JSON and text.
func TestAcceptPage(t *testing.T) {
	s := newService(limits)
	for _, tc := range []struct {
		name   string
		accept []string
		want   string
	}{
		{"Firefox", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, typeHTML},
		{"Chromium", []string{asBrowser + ",application/signed-exchange;v=b3;q=0.7"}, typeHTML},
		{"HTML alone", []string{"text/html"}, typeHTML},
		{"in capitals", []string{"TEXT/HTML"}, typeHTML},
		{"HTML before anything", []string{"*/*, text/html"}, typeHTML},
		{"HTML preferred", []string{"application/json;q=0.5", "text/html;q=0.6"}, typeHTML},
		{"before too many elements", []string{"text/html" + strings.Repeat(",a/b", 1000)}, typeJSON},
		{"none", nil, typeJSON},
		{"curl", []string{"*/*"}, typeJSON},
		{"all of text", []string{"text/*"}, typeUTF8},
		{"jQuery for JSON", []string{"application/json, text/javascript, */*; q=0.01"}, typeJSON},
		{"JSON alike", []string{"text/html, application/json"}, typeJSON},
		{"text alike", []string{"text/html, text/plain"}, typeUTF8},
		{"JSON preferred", []string{"text/html;q=0.5, application/json"}, typeJSON},
		{"weight zero", []string{"text/html;q=0, */*"}, typeJSON},
		{"a broken weight", []string{"text/html;q=x, */*;q=0.1"}, typeJSON},
		{"after too many bytes", []string{strings.Repeat("a", 10<<10) + ",text/html"}, typeJSON},
		{"after too many elements", []string{strings.Repeat("a/b,", 1000) + "text/html"}, typeJSON},
	} {
		h := make(http.Header)
		if tc.accept != nil {
			h["Accept"] = tc.accept
		}
		if a := s.ask("GET", "/", h, nil); a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != tc.want {
			t.Errorf("%s: got %d %s, want %s", tc.name, a.StatusCode, a.Header.Get("Content-Type"), tc.want)
		}
	}
}

// The page comes in the coding that the client likes best.
func TestPageCodings(t *testing.T) {
	s := newService(limits)
	for accept, want := range map[string]string{
		"": "", "gzip, deflate, br, zstd": "br", "gzip, deflate": "gzip", "gzip": "gzip", "BR": "br", "deflate, zstd": "",
		"*": "br", "gzip;q=1, br;q=0.5": "gzip", "br;q=0, gzip;q=0.1": "gzip", "*, br;q=0": "gzip", "gzip;q=0": "",
		"identity": "", "identity, gzip;q=0.5": "", "identity;q=0.5, gzip": "gzip", "identity;q=0": "", "br;q=2, gzip": "gzip",
		"identity;q=0, *;q=0": "", strings.Repeat("x,", 1000) + "br": "", "br" + strings.Repeat(",x", 1000): "",
		strings.Repeat("x", 10<<10) + ",br": "",
	} {
		body := map[string][]byte{"": testPage.HTML, "gzip": testPage.Gzip, "br": testPage.Brotli}[want]
		a := s.ask("GET", "/msg/x", fields("Accept", "text/html", "Accept-Encoding", accept), nil)
		if got := a.Header.Get("Content-Encoding"); !isPage(a) || got != want || a.body != string(body) {
			t.Errorf("Accept-Encoding %.40q: got %d %q of %d bytes, want %q", accept, a.StatusCode, got, len(a.body), want)
		}
	}
}

// Without a page the service is an API alone.
func TestNoPage(t *testing.T) {
	s := newStack(nil)
	s.handler = web.Serve(s.lines(), noObserver{}, largeInFlight(), web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, nil))
	if a := s.ask("GET", "/", fields("Accept", asBrowser), nil); a.Header.Get("Content-Type") != typeJSON {
		t.Errorf("a browser: got %d %s, want JSON", a.StatusCode, a.Header.Get("Content-Type"))
	}
	expectProblem(t, s.ask("GET", "/", fields("Accept", "text/html"), nil), http.StatusNotAcceptable, "neither")
	expectProblem(t, s.ask("GET", "/msg/x", fields("Accept", asBrowser), nil), http.StatusNotFound, "nothing here")
}
