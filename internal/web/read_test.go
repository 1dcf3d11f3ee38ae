package web_test

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/message"
)

func TestRead(t *testing.T) {
	w := newService(limits).listen(t)
	const text = "zażółć\x00\n\"<b>\u2028"
	path := w.post(t, text)
	capitals := "/msg/" + strings.ToUpper(strings.TrimPrefix(path, "/msg/"))
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for _, target := range []string{path, path + "?", path + "?utm_source=mail&x=%zz", capitals} {
			a := send(t, c, "GET", target, nil, nil)
			got := decode(t, a.body, "status", "message", "expires_at")
			if a.StatusCode != http.StatusOK || got["status"] != 200.0 || got["message"] != text {
				t.Errorf("%s GET %s: got %d %s", protocol, target, a.StatusCode, a.body)
			}
			if expires, err := time.Parse(time.RFC3339, got["expires_at"].(string)); err != nil || !expires.After(time.Now()) {
				t.Errorf("%s: expires_at %v, %v", protocol, got["expires_at"], err)
			}
		}
		a := send(t, c, "GET", path, fields("Accept", typeText), nil)
		if a.StatusCode != http.StatusOK || a.body != text || a.Header.Get("Content-Type") != typeUTF8 {
			t.Errorf("%s as text: got %d %s %q", protocol, a.StatusCode, a.Header.Get("Content-Type"), a.body)
		}
	}
	if calls, values := w.store.count(); calls != 1+2*5 || values != 1 {
		t.Errorf("%d calls and %d values, want 11 and 1: reading changes nothing", calls, values)
	}
}

// Punctuation that chat programs append to a link is ignored.
func TestPunctuationBehindALink(t *testing.T) {
	w := newService(limits).listen(t)
	path := w.post(t, "hello")
	for _, behind := range []string{".", ",", ")", ">", "]", "}", "\"", "'", ";", ":", "!", "?", "/", "%20", "%2E", "%2C", "%29", "%3e", "%3E", "%5D", "%7d", "%22", "%27", "%3B", "%3A", "%21", "%3F", "%2F", `).">`, "...", "/%20.", "?.", strings.Repeat("!", 64)} {
		for _, protocol := range protocols {
			a := send(t, w.client(t, protocol), "GET", path+behind, fields("Accept", typeText), nil)
			if a.StatusCode != http.StatusOK || a.body != "hello" {
				t.Errorf("%s: %q behind a link: got %d %q, want the message", protocol, behind, a.StatusCode, a.body)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	s := newService(limits)
	for _, target := range []string{"/", "/?", "/?x=y"} {
		a := s.ask("GET", target, nil, nil)
		got := decode(t, a.body, "status", "service", "create", "read", "open", "withdraw", "limits")
		want := map[string]any{"max_bytes": 262144.0, "message_overhead": 512.0, "reads_max": 100.0, "ttl_default": 604800.0, "ttl_max": 604800.0}
		if a.StatusCode != http.StatusOK || got["service"] != "messaging_api" || !maps.Equal(got["limits"].(map[string]any), want) {
			t.Errorf("GET %s: got %d %s", target, a.StatusCode, a.body)
		}
	}
	a := s.ask("GET", "/", fields("Accept", typeText), nil)
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, "262144 bytes") || !strings.Contains(a.body, "604800 seconds") {
		t.Errorf("GET / as text: got %d %s", a.StatusCode, a.body)
	}
	if calls, _ := s.store.count(); calls != 0 {
		t.Error("the store was asked")
	}
}

// HEAD answers as GET would, without the body.
func TestHead(t *testing.T) {
	w := newService(limits).listen(t)
	path := w.post(t, strings.Repeat("long enough to be sent in pieces ", 1000))
	_, before := w.store.count()
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for _, target := range []string{path, "/", "/msg/" + message.NewID().Reveal(), "/msg/x", "/nothing"} {
			for _, accept := range []string{"*/*", typeText, "image/png"} {
				get := send(t, c, "GET", target, fields("Accept", accept), nil)
				head := send(t, c, "HEAD", target, fields("Accept", accept), nil)
				if head.StatusCode != get.StatusCode || head.body != "" {
					t.Errorf("%s HEAD %s: got %d %q, want %d without a body", protocol, target, head.StatusCode, head.body, get.StatusCode)
				}
				if want := int64(len(get.body)); head.ContentLength != want || get.ContentLength != want {
					t.Errorf("%s %s %s: lengths %d and %d, want %d", protocol, target, accept, head.ContentLength, get.ContentLength, want)
				}
				if got, want := stableFields(head), stableFields(get); !maps.Equal(got, want) {
					t.Errorf("%s HEAD %s: got %v, want %v", protocol, target, got, want)
				}
			}
		}
	}
	if _, after := w.store.count(); after != before {
		t.Errorf("%d values, want %d", after, before)
	}
}

// stableFields are an answer's fields without those that differ from one answer
// to the next.
func stableFields(a answer) map[string]string {
	h := make(map[string]string)
	for name, values := range a.Header {
		if name != "Date" && name != "X-Request-Id" {
			h[name] = strings.Join(values, "\n")
		}
	}
	return h
}

// A client that guesses learns nothing from the status line, the fields or the body.
func TestNotFoundIsOneAnswer(t *testing.T) {
	w := newService(limits).listen(t)
	tampered := w.post(t, "x")
	w.store.tamper()
	expired, err := message.NewBox(w.store).Create(t.Context(), message.Draft{Text: []byte("x"), TTL: time.Second}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := newService(limits).post(t, "x")
	fresh := message.NewID().Reveal()
	targets := map[string]string{
		"unknown":            "/msg/" + fresh,
		"expired":            "/msg/" + expired.ID.Reveal(),
		"of another service": elsewhere,
		"malformed":          "/msg/x",
		"empty":              "/msg/",
		"too long":           "/msg/" + fresh + "0",
		"very long":          "/msg/" + strings.Repeat("0", 8000),
		"version 1":          "/msg/6ba7b810-9dad-11d1-80b4-00c04fd430c8",
		"nil UUID":           "/msg/00000000-0000-0000-0000-000000000000",
		"without hyphens":    "/msg/" + strings.ReplaceAll(fresh, "-", ""),
		"in braces":          "/msg/%7B" + fresh + "%7D",
		"URN":                "/msg/urn:uuid:" + fresh,
		"another path":       "/favicon.ico",
		"tampered":           tampered,
	}
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for _, accept := range []string{"", typeText} {
			h := fields()
			if accept != "" {
				h = fields("Accept", accept)
			}
			want := send(t, c, "GET", "/msg/"+message.NewID().Reveal(), h, nil)
			if want.StatusCode != http.StatusNotFound {
				t.Fatalf("unknown: got %d %s", want.StatusCode, want.body)
			}
			for name, target := range targets {
				got := send(t, c, "GET", target, h, nil)
				if got.Status != want.Status || got.Proto != want.Proto || got.body != want.body || !maps.Equal(stableFields(got), stableFields(want)) {
					t.Errorf("%s %s: got %s %v %q, want %s %v %q", protocol, name,
						got.Status, stableFields(got), got.body, want.Status, stableFields(want), want.body)
				}
			}
		}
	}
	// The operator does learn of it: someone has written to the store.
	eventually(t, "a log line for each reading of the tampered message", func() bool {
		told := 0
		for _, line := range w.log.lines(t, "request") {
			if cause, _ := line["error"].(string); strings.Contains(cause, message.ErrTampered.Error()) && line["level"] == "ERROR" {
				told++
			}
		}
		return told == len(protocols)*2
	})
}

// Byte for byte, without net/http's client: the order, spelling and length of the
// fields.
func TestNotFoundIsOneAnswerInBytes(t *testing.T) {
	w := newService(limits).listen(t)
	path := w.post(t, "x")
	w.store.tamper()
	var first string
	for _, target := range []string{"/msg/" + message.NewID().Reveal(), path, "/msg/x", "/x"} {
		got := masked(w.bytes(t, "GET "+target+" HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"))
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("GET %s:\n%s\nwant\n%s", target, got, first)
		}
	}
}

// masked replaces the values that differ from one answer to the next.
func masked(raw string) string {
	lines := strings.Split(raw, "\r\n")
	for i, line := range lines {
		for _, name := range []string{"Date: ", "X-Request-Id: "} {
			if strings.HasPrefix(line, name) {
				lines[i] = name + strings.Repeat("#", len(line)-len(name))
			}
		}
	}
	return strings.Join(lines, "\r\n")
}

// There are two URLs and no others, however a path is written.
func TestOtherPaths(t *testing.T) {
	w := newService(limits).listen(t)
	path := w.post(t, "x")
	id := strings.TrimPrefix(path, "/msg/")
	for _, target := range []string{
		"//", "/msg", "/msg/", "/msg//", "/msg/../", "/./", "/..", "/msg/..", "/msg/../msg/" + id,
		"//msg/" + id, "/msg//" + id, "/msg/" + id + "/x", "/msg/" + id + "/./x", "/msg/" + id + "%2Fx", "/msg/x/" + id, "/x/msg/" + id,
		"/MSG/" + id, "/msg%2F" + id, "/msg%2f" + id, "/%6Dsg/" + id, "/%2Fmsg/" + id, "/msg/%2F" + id,
		"/msg/%" + strconv.FormatInt(int64(id[0]), 16) + id[1:], "/msg/" + strings.ReplaceAll(id, "-", "%2D"),
		"/msg/" + id + "%00", "/msg/" + id + ";x=1", "/msg/" + id[:35] + ".", "/msg/." + id, "/msg/" + id + "%09", "/msg/" + id + "-", "/msg/" + id + strings.Repeat(".", 65),
		"/msg/" + id + strings.Repeat(".", 300) + "x",
		"/msg/%2e%2e/msg/" + id, "/%2E/", "/%2e%2e/", "/%", "/%zz", "/%00", "/\\msg\\" + id, "/#", "/;", "/*", "/index.html", "/robots.txt", "/favicon.ico",
		"/.well-known/security.txt", "/.well-known/acme-challenge/x", "/metrics", "/livez", "/readyz", "/debug/pprof/", "/msg/{id}",
		"*", "msg:" + id, "https:" + path[1:],
	} {
		for _, method := range []string{"GET", "POST", "BREW"} {
			if target == "*" && method == "POST" {
				continue // see below
			}
			answers := w.raw(t, method+" "+target+" HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n")
			want := http.StatusNotFound
			switch {
			case strings.HasPrefix(target, "/msg/") && method == "BREW":
				want = http.StatusMethodNotAllowed // the path is known, whatever the id
			case target == "/%" || target == "/%zz":
				want = http.StatusBadRequest // not a URL at all
			}
			if len(answers) != 1 || answers[0].StatusCode != want {
				t.Errorf("%s %s: got %s, want %d", method, target, statuses(answers), want)
			}
		}
	}
	post := "POST * HTTP/1.1\r\nHost: example.com\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
	if answers := w.raw(t, post); statuses(answers) != "[404]" {
		t.Errorf("POST *: got %s, want 404", statuses(answers))
	}
	if _, values := w.store.count(); values != 1 {
		t.Errorf("%d values, want 1", values)
	}
}

func statuses(answers []answer) string {
	codes := make([]string, len(answers))
	for i, a := range answers {
		codes[i] = strconv.Itoa(a.StatusCode)
	}
	return "[" + strings.Join(codes, " ") + "]"
}

func TestMethods(t *testing.T) {
	w := newService(limits).listen(t)
	path := w.post(t, "x")
	refused := []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get", "Post", "GETT", "M-SEARCH", "QUERY"}
	for target, methods := range map[string]struct {
		allow   string
		refused []string
	}{
		"/":                                {"GET, HEAD, POST", refused},
		path:                               {"GET, HEAD", append(slices.Clone(refused), "POST")},
		"/msg/" + message.NewID().Reveal(): {"GET, HEAD", refused},
		"/msg/malformed":                   {"GET, HEAD", refused},
	} {
		for _, method := range methods.refused {
			for _, protocol := range protocols {
				a := send(t, w.client(t, protocol), method, target, nil, nil)
				expectProblem(t, a, http.StatusMethodNotAllowed, methods.allow)
				if got := a.Header.Get("Allow"); got != methods.allow {
					t.Errorf("%s %s %s: Allow %q, want %q", protocol, method, target, got, methods.allow)
				}
			}
		}
	}
	for _, line := range []string{"OPTIONS * HTTP/1.1", "CONNECT example.com:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1", "OPTIONS https://example.com HTTP/1.1"} {
		answers := w.raw(t, line+"\r\nHost: example.com\r\n\r\n", strings.Fields(line)[0])
		if statuses(answers) != "[405]" || answers[0].Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: got %s, want 405 with Allow", line, statuses(answers))
		}
	}
	// A POST to a message asks whether it is limited, and nothing else asks.
	if calls, values := w.store.count(); calls != 1+len(protocols) || values != 1 {
		t.Errorf("%d calls of the store and %d values, want %d and one", calls, values, 1+len(protocols))
	}
}

// A failure of the store is not confused with a message that does not exist.
func TestStoreFailures(t *testing.T) {
	s := newService(limits)
	path := s.post(t, "x")
	for _, tc := range []struct {
		name         string
		fault        func() error
		create, read int
		inLogs       string
	}{
		{"unavailable", func() error { return message.ErrUnavailable }, 503, 503, message.ErrUnavailable.Error()},
		{"full", func() error { return message.ErrFull }, 507, 507, message.ErrFull.Error()},
		{"taken", func() error { return message.ErrExists }, 503, 500, "key"},
		{"unknown", func() error { return errBroken }, 500, 500, errBroken.Error()},
		{"panic", func() error { panic("x") }, 500, 500, ""},
	} {
		s.store.failWith(tc.fault)
		create := s.ask("POST", "/", fields("Content-Type", typeText), strings.NewReader("x"))
		read := s.ask("GET", path, nil, nil)
		expectProblem(t, create, tc.create, "")
		expectProblem(t, read, tc.read, "")
		for _, a := range []answer{create, read} {
			want := ""
			if a.StatusCode == http.StatusServiceUnavailable {
				want = "5"
			}
			if got := a.Header.Get("Retry-After"); got != want {
				t.Errorf("%s: Retry-After %q, want %q", tc.name, got, want)
			}
			line := s.log.await(t, "request", "request_id", a.id())[0]
			if cause, _ := line["error"].(string); line["level"] != "ERROR" || !strings.Contains(cause, tc.inLogs) {
				t.Errorf("%s: log line %v, want the error %q", tc.name, line, tc.inLogs)
			}
		}
	}
	s.store.failWith(nil)
	if a := s.ask("GET", path, nil, nil); a.StatusCode != http.StatusOK {
		t.Errorf("afterwards: got %d %s, want 200", a.StatusCode, a.body)
	}
}
