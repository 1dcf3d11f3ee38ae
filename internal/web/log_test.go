package web_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// secrets are what must not be found in any log.
type secrets struct{ all []string }

// fresh returns a new one that is valid as a name.
func (s *secrets) fresh() string {
	word := "S" + strings.ReplaceAll(message.NewID().Reveal(), "-", "")
	s.all = append(s.all, word)
	return word
}

// expectNone looks for each secret, as it is and as code might write it.
func (s *secrets) expectNone(t *testing.T, log string) {
	t.Helper()
	log = strings.ToLower(log)
	for _, secret := range s.all {
		for _, form := range []string{
			secret, strings.ReplaceAll(secret, "-", ""), url.QueryEscape(secret),
			hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
		} {
			if i := strings.Index(log, strings.ToLower(form)); i >= 0 {
				t.Errorf("the log shows %s: …%s…", form, log[max(0, i-200):min(len(log), i+200)])
			}
		}
	}
}

// No log line, at any level, holds what clients send or read, except the
// User-Agent: no text, id, path, query, field or invented method.
func TestLogShowsNothing(t *testing.T) {
	w := newService(limits).listen(t)
	var secret secrets
	answered := make(map[string]bool)
	note := func(answers ...answer) {
		for _, a := range answers {
			answered[a.id()] = true
			if link, err := url.Parse(a.Header.Get("Location")); err == nil && link.Path != "" {
				secret.all = append(secret.all, strings.TrimPrefix(link.Path, "/msg/"))
			}
		}
	}
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		ask := func(method, target string, h http.Header, body string) answer {
			t.Helper()
			for _, name := range []string{"Referer", "Cookie", "Authorization", "X-Request-Id", "X-Forwarded-For", "Forwarded", secret.fresh()} {
				h.Set(name, secret.fresh())
			}
			a := send(t, c, method, target, h, strings.NewReader(body))
			note(a)
			return a
		}
		for range 20 {
			text := secret.fresh()
			ask("POST", "/", fields("Content-Type", typeJSON), `{"message":"`+text+`"}`)
			ask("POST", "/?ttl=60", fields("Content-Type", typeText), secret.fresh())
			created := ask("POST", "/", fields("Content-Type", typeForm), "message="+secret.fresh())
			path := strings.TrimPrefix(created.Header.Get("Location"), "https://example.com")
			ask("GET", path, fields(), "")
			ask("HEAD", path+"?"+secret.fresh(), fields(), "")
			ask("DELETE", path, fields(), "")
			ask("GET", path, fields("Accept", secret.fresh()), "")
			ask("GET", path+secret.fresh(), fields(), "")
		}
		unknown := message.NewID().Reveal()
		secret.all = append(secret.all, unknown)
		ask("GET", "/msg/"+unknown, fields(), "")
		ask("GET", "/"+secret.fresh(), fields(), "")
		ask(secret.fresh(), "/", fields(), "")
		ask("GET", "/", fields("Host", secret.fresh()+".example"), "")
		ask("GET", "/", fields("Host", secret.fresh()+"_-"), "")
		ask("POST", "/", fields(), `{"`+secret.fresh()+`":"`+secret.fresh()+`"}`)
		ask("POST", "/", fields(), `{"message":"`+secret.fresh()+`","ttl":"`+secret.fresh()+`"}`)
		ask("POST", "/", fields(), `{"message":"\u`+secret.fresh()+`"}`)
		ask("POST", "/?"+secret.fresh()+"="+secret.fresh(), fields("Content-Type", typeText), "x")
		ask("POST", "/?ttl="+secret.fresh(), fields("Content-Type", typeText), "x")
		ask("POST", "/", fields("Content-Type", typeForm), secret.fresh()+"="+secret.fresh())
		ask("POST", "/", fields("Content-Type", secret.fresh()), "x")
		ask("POST", "/", fields("Content-Encoding", secret.fresh()), "x")
		for _, fault := range []func() error{
			func() error { return errBroken },
			func() error { return message.ErrFull },
			func() error { panic(secret.all[0]) },
			func() error { panic(fault{secret.all[0]}) },
			func() error { panic([]byte(secret.all[0])) },
			func() error { return map[string]error{}[secret.all[0]].(fault) }, //nolint:errorlint,forcetypeassert // it is to panic
		} {
			w.store.failWith(fault)
			ask("POST", "/", fields("Content-Type", typeText), secret.fresh())
			ask("GET", "/msg/"+unknown, fields(), "")
			w.store.failWith(nil)
		}
	}
	created := w.ask("POST", "/", fields("Content-Type", typeText), strings.NewReader("x"))
	note(created)
	path := strings.TrimPrefix(created.Header.Get("Location"), "https://example.com")
	w.store.tamper()
	for _, input := range []string{
		"GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n",
		secret.fresh() + "\r\n\r\n",
		"GET /" + secret.fresh() + " " + secret.fresh() + " HTTP/1.1\r\n\r\n",
		"GET /" + secret.fresh() + " HTTP/9.9\r\nHost: example.com\r\n\r\n",
		"GET /%zz" + secret.fresh() + " HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: example.com\r\n" + secret.fresh() + " " + secret.fresh() + ": " + secret.fresh() + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: example.com\r\nExpect: " + secret.fresh() + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: " + secret.fresh() + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: " + secret.fresh() + "\r\n\r\n",
		"GET https://" + secret.fresh() + "/" + secret.fresh() + "?" + secret.fresh() + " HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"CONNECT " + secret.fresh() + ":443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"GET " + secret.fresh() + ":" + secret.fresh() + " HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000\r\n\r\n" + secret.fresh(),
		"POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n" + secret.fresh(),
		"GET /;" + secret.fresh() + "?" + secret.fresh() + ";" + secret.fresh() + " HTTP/1.1\r\nHost: example.com\r\n\r\n",
	} {
		note(w.raw(t, input)...)
	}
	note(plainOnTLS(t, w))

	eventually(t, "a line for each request", func() bool { return len(w.log.lines(t, "request")) >= len(answered) })
	lines := w.log.lines(t, "request")
	logged := make(map[string]bool)
	for _, line := range lines {
		id, _ := line["request_id"].(string)
		if !answered[id] || logged[id] {
			t.Errorf("log line %v: want one line for each answer", line)
		}
		logged[id] = true
	}
	if len(lines) != len(answered) {
		t.Errorf("%d lines for %d answers", len(lines), len(answered))
	}
	secret.expectNone(t, w.log.String())
}

// A fault is an error that shows what it holds.
type fault struct{ text string }

func (f fault) Error() string { return f.text }

// A line has what an operator needs, in values that clients cannot choose.
func TestLogLine(t *testing.T) {
	s := newService(limits, "example.com")
	path := s.post(t, "hello")
	for _, tc := range []struct {
		name, method, target, host string
		want                       map[string]any
	}{
		{"description", "GET", "/", "example.com", map[string]any{"level": "INFO", "method": "GET", "route": "/", "status": 200.0}},
		{"message", "GET", path, "example.com", map[string]any{"level": "INFO", "method": "GET", "route": "/msg/{id}", "status": 200.0}},
		{"message without body", "HEAD", path, "example.com", map[string]any{"level": "INFO", "method": "HEAD", "route": "/msg/{id}", "status": 200.0, "bytes": 0.0}},
		{"malformed id", "GET", "/msg/x", "example.com", map[string]any{"level": "INFO", "route": "/msg/{id}", "status": 404.0}},
		{"other path", "GET", "/x", "example.com", map[string]any{"level": "INFO", "route": "other", "status": 404.0}},
		{"other host", "GET", path, "example.org", map[string]any{"level": "INFO", "route": "other", "status": 421.0, "event": "host"}},
		{"no host", "GET", path, "a_b-", map[string]any{"level": "INFO", "route": "other", "status": 400.0, "event": "host"}},
		{"invented method", "BREW", "/", "example.com", map[string]any{"level": "INFO", "method": "other", "route": "/", "status": 405.0}},
	} {
		a := s.ask(tc.method, tc.target, nil, nil, func(r *http.Request) {
			r.Host = tc.host
			r.Header.Set("User-Agent", "a test")
		})
		lines := s.log.await(t, "request", "request_id", a.id())
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines, want 1", tc.name, len(lines))
		}
		line := lines[0]
		if _, ok := tc.want["bytes"]; !ok {
			tc.want["bytes"] = float64(len(a.body))
		}
		tc.want["proto"] = "HTTP/1.1"
		tc.want["client"] = "192.0.2.1"
		tc.want["user_agent"] = "a test"
		if _, ok := tc.want["event"]; !ok {
			tc.want["event"] = nil // there is none
		}
		for name, want := range tc.want {
			if line[name] != want {
				t.Errorf("%s: %s is %v, want %v", tc.name, name, line[name], want)
			}
		}
		if took, ok := line["duration"].(float64); !ok || took < 0 {
			t.Errorf("%s: duration is %v", tc.name, line["duration"])
		}
		if _, ok := line["error"]; ok {
			t.Errorf("%s: there is an error %v", tc.name, line["error"])
		}
	}
}

// A line names the client and its TLS, also where net/http refuses by itself.
func TestLogLineOfConnection(t *testing.T) {
	w := newService(limits, "example.com").listen(t)
	w.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	expect := func(a answer, want map[string]any) {
		t.Helper()
		line := w.log.await(t, "request", "request_id", a.id())[0]
		for name, value := range want {
			if line[name] != value {
				t.Errorf("log line %v: %s is %v, want %v", line, name, line[name], value)
			}
		}
	}
	const request = "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n"
	expect(w.raw(t, request)[0], map[string]any{"client": "127.0.0.1", "tls": "1.3", "resumed": false})
	expect(w.raw(t, request)[0], map[string]any{"client": "127.0.0.1", "tls": "1.3", "resumed": true})
	expect(w.raw(t, "nonsense\r\n\r\n")[0], map[string]any{"client": "127.0.0.1", "tls": "1.3", "resumed": true, "status": 400.0})
	w.tls.ClientSessionCache, w.tls.MaxVersion = nil, tls.VersionTLS12
	expect(w.raw(t, request)[0], map[string]any{"tls": "1.2", "resumed": false})
	expect(plainOnTLS(t, w), map[string]any{"client": "127.0.0.1", "tls": nil, "resumed": nil, "status": 400.0})
}

// A request that was charged to no budget has a line unless that is suppressed. One
// that was charged, or failed because of us, always has a line.
func TestLogSuppressesLines(t *testing.T) {
	s := newService(limits, "example.com")
	type spared struct {
		sender netip.Addr
		status int
		limit  string
	}
	var got []spared
	s.suppress = func(sender netip.Addr, status int, limit string) bool {
		got = append(got, spared{sender, status, limit})
		return status != http.StatusMethodNotAllowed
	}
	handler := web.Hosts([]string{"example.com"}, web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, testPage))
	s.handler = web.Serve(s.lines(), noObserver{}, largeInFlight(), handler)
	sender := netip.MustParseAddr("192.0.2.1")
	ask := func(method, target, host string, line bool, want ...spared) {
		t.Helper()
		got = nil
		a := s.ask(method, target, nil, nil, func(r *http.Request) { r.Host = host })
		if !slices.Equal(got, want) {
			t.Errorf("%s %s: asked about %v, want %v", method, target, got, want)
		}
		if lines := strings.Count(s.log.String(), a.id()); lines != 0 != line {
			t.Errorf("%s %s: %d lines, want one: %v", method, target, lines, line)
		}
	}
	path := s.post(t, "hello")
	ask("GET", path, "example.com", true)
	ask("GET", "/msg/x", "example.com", true)
	ask("GET", "/", "example.com", false, spared{sender, 200, ""})
	ask("GET", "/x", "example.com", false, spared{sender, 404, ""})
	ask("GET", "/", "example.org", false, spared{sender, 421, ""})
	ask("PUT", "/", "example.com", true, spared{sender, 405, ""})
	s.store.failWith(func() error { return errBroken })
	ask("GET", path, "example.com", true)
	s.limiter.set("read")
	ask("GET", path, "example.com", false, spared{sender, 429, "read"})
	s.limiter.set("")
	full := web.NewInFlight(0, 0, limits.MaxBytes, oneClient)
	s.handler = web.Serve(s.lines(), noObserver{}, full, handler)
	ask("GET", path, "example.com", false, spared{sender, 503, web.LimitInFlight})
	s.handler = web.Serve(s.lines(), noObserver{}, largeInFlight(), broken(-1, "before any budget"))
	ask("GET", "/", "example.com", true)
}

// The same holds for what net/http refuses.
func TestLogSuppressesLinesOfNoRequests(t *testing.T) {
	s := newService(limits)
	s.suppress = func(_ netip.Addr, status int, _ string) bool { return status != http.StatusHTTPVersionNotSupported }
	w := s.listen(t)
	for input, line := range map[string]bool{"nonsense\r\n\r\n": false, "GET / HTTP/9.9\r\nHost: example.com\r\n\r\n": true} {
		a := w.raw(t, input)[0]
		if lines := strings.Count(s.log.String(), a.id()); lines != 0 != line {
			t.Errorf("%q: %d lines, want one: %v", input, lines, line)
		}
	}
}

// A record that was changed in the store is an event of its own. The client gets a 404.
func TestLogLineOfTampering(t *testing.T) {
	s := newService(limits)
	path := s.post(t, "hello")
	s.store.tamper()
	a := s.ask("GET", path, nil, nil)
	line := s.log.await(t, "request", "request_id", a.id())[0]
	if a.StatusCode != http.StatusNotFound || line["event"] != "tampered" || line["level"] != "ERROR" {
		t.Errorf("got status %d and log line %v", a.StatusCode, line)
	}
}

// A level that is switched off costs nothing and writes nothing.
func TestLogLevel(t *testing.T) {
	s := newStack(nil)
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelError}))
	s.handler = web.Serve(logTo(log), noObserver{}, largeInFlight(), web.Hosts(nil, web.Routes(message.NewBox(s.store), limits, s.limiter, web.Creators{}, testPage)))
	path := s.post(t, "x")
	s.ask("GET", path, nil, nil)
	if s.log.String() != "" {
		t.Errorf("the log holds %s", s.log)
	}
	s.store.failWith(func() error { return errBroken })
	s.ask("GET", path, nil, nil)
	if lines := s.log.lines(t, "request"); len(lines) != 1 || lines[0]["error"] != errBroken.Error() {
		t.Errorf("log lines %v: want the error", lines)
	}
}
