package web_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/web"
)

// servePlain serves handler as the listener of plain HTTP does and returns its address.
func servePlain(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.DisableGeneralOptionsHandler = true
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// askPlain sends raw bytes and returns the answer.
func askPlain(t testing.TB, address, raw string) (status int, header http.Header, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

func TestRedirect(t *testing.T) {
	for _, tt := range []struct {
		hosts    []string
		line     string // method and target
		host     string
		status   int
		location string
		public   string
	}{
		{[]string{"a.example", "b.example"}, "GET /", "a.example", 308, "https://a.example/", ""},
		{[]string{"a.example"}, "HEAD /x/y?q=1&r=%2F", "a.example:8080", 308, "https://a.example/x/y?q=1&r=%2F", ""},
		{[]string{"a.example", "b.example"}, "GET /x", "b.example", 308, "https://a.example/x", ""},
		{[]string{"a.example"}, "GET /x", "evil.example", 308, "https://a.example/x", ""},
		{[]string{"2001:db8::1"}, "GET /x", "evil.example", 308, "https://[2001:db8::1]/x", ""},
		{[]string{"a.example"}, "GET //evil.example/x", "a.example", 308, "https://a.example//evil.example/x", ""},
		{[]string{"a.example"}, "GET //evil.example", "a.example", 308, "https://a.example//evil.example", ""},
		{[]string{"a.example"}, "GET ///evil.example", "a.example", 308, "https://a.example///evil.example", ""},
		{[]string{"a.example"}, `GET /\evil.example`, "a.example", 308, "https://a.example/%5Cevil.example", ""},
		{[]string{"a.example"}, "GET /@evil.example", "a.example", 308, "https://a.example/@evil.example", ""},
		{[]string{"a.example"}, "GET /../x/./y", "a.example", 308, "https://a.example/../x/./y", ""},
		{[]string{"a.example"}, "GET /a%2Fb%0d%0aSet-Cookie:%20x?%0d%0a", "a.example", 308, "https://a.example/a%2Fb%0d%0aSet-Cookie:%20x?%0d%0a", ""},
		{[]string{"a.example"}, "GET /?", "a.example", 308, "https://a.example/?", ""},
		{[]string{"a.example"}, "GET /?q=\xff", "a.example", 308, "https://a.example/?q=%ff", ""},
		{[]string{"a.example"}, "GET http://evil.example/x", "a.example", 308, "https://a.example/x", ""},
		{[]string{"a.example"}, "GET http://evil.example//x", "evil.example", 308, "https://a.example//x", ""},
		{[]string{"a.example"}, "GET https://evil.example", "evil.example", 308, "https://a.example/", ""},
		{[]string{"a.example"}, "GET http://user@evil.example/x", "evil.example", 308, "https://a.example/x", ""},
		{[]string{"a.example"}, "GET http:evil.example", "a.example", 400, "", ""},
		{[]string{"a.example"}, "GET *", "a.example", 400, "", ""},
		{[]string{"a.example"}, "POST /", "a.example", 405, "", ""},
		{[]string{"a.example"}, "OPTIONS *", "a.example", 405, "", ""},
		{[]string{"a.example"}, "OPTIONS /", "a.example", 405, "", ""},
		{[]string{"a.example"}, "TRACE /", "a.example", 405, "", ""},
		{[]string{"a.example"}, "BREW /", "a.example", 405, "", ""},
		{[]string{"a.example"}, "CONNECT evil.example:443", "evil.example:443", 405, "", ""},
		{[]string{"a.example"}, "CONNECT /x", "a.example", 405, "", ""},
		{nil, "GET /x?y", "A.example:8080", 308, "https://a.example/x?y", ""},
		{nil, "GET /x", "a.example.", 308, "https://a.example/x", ""},
		{nil, "GET /x", "localhost", 308, "https://localhost/x", ""},
		{nil, "GET /x", "127.0.0.1:80", 308, "https://127.0.0.1/x", ""},
		{nil, "GET /x", "[::1]:80", 308, "https://[::1]/x", ""},
		{nil, "GET /x", "[fe80::1%25eth0]", 400, "", ""},
		{nil, "GET //evil.example/x", "a.example", 308, "https://a.example//evil.example/x", ""},
		{nil, "GET /x", "", 400, "", ""},
		{nil, "GET /x", "a.example@evil.example", 400, "", ""},
		{nil, "GET /x", "a_b.example", 308, "https://a_b.example/x", ""},
		{nil, "GET /x", "a..example", 400, "", ""},
		{nil, "GET /x", "-a.example", 400, "", ""},
		{nil, "GET /x", "a.example:x", 400, "", ""},
		{nil, "GET /x", strings.Repeat("a", 64) + ".example", 400, "", ""},
		{[]string{"a.example"}, "GET /x/y?q=%2F", "a.example", 308, "https://b.example:8443/notes/x/y?q=%2F", "https://b.example:8443/notes"},
		{[]string{"a.example"}, "GET //evil.example/%2Fx", "a.example", 308, "https://b.example/a%2Fb//evil.example/%2Fx", "https://b.example/a%2Fb"},
		{nil, "GET http://evil.example", "evil.example", 308, "https://b.example:8443/", "https://b.example:8443"},
		{nil, "GET *", "a.example", 400, "", "https://b.example"},
		{nil, "GET http:evil.example", "a.example", 400, "", "https://b.example"},
	} {
		address := servePlain(t, web.Redirect(tt.hosts, tt.public))
		status, header, body := askPlain(t, address, fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", tt.line, tt.host))
		if status != tt.status || header.Get("Location") != tt.location {
			t.Errorf("hosts %q, %q, Host %q: got %d to %q, want %d to %q", tt.hosts, tt.line, tt.host, status, header.Get("Location"), tt.status, tt.location)
		}
		if tt.status == 308 && (body != "" || header.Get("Set-Cookie") != "") {
			t.Errorf("%q: got the body %q and cookies %q, want none", tt.line, body, header.Get("Set-Cookie"))
		}
		if tt.status == 405 && header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%q: got Allow %q, want GET, HEAD", tt.line, header.Get("Allow"))
		}
	}
}

// net/http refuses these before the handler.
func TestRedirectListenerRefusesMalformedRequests(t *testing.T) {
	address := servePlain(t, web.Redirect([]string{"a.example"}, ""))
	for _, raw := range []string{
		"GET / HTTP/1.1\r\n\r\n", // no Host
		"GET / HTTP/1.1\r\nHost: a.example\r\nHost: evil.example\r\n\r\n", // two
		"GET / HTTP/1.1\r\nHost: a.example\r\nX: a\rb\r\n\r\n",            // a bare CR
		"GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n",                    // a space in the path
		"GET x HTTP/1.1\r\nHost: a.example\r\n\r\n",                       // no path
		"GET /\x01 HTTP/1.1\r\nHost: a.example\r\n\r\n",                   // a control character
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",                                // HTTP/2 without TLS
		"\x16\x03\x01\x00\x05hello\r\n\r\n",                               // TLS
	} {
		status, header, _ := askPlain(t, address, raw)
		if status < 400 || header.Get("Location") != "" {
			t.Errorf("%q: got %d to %q, want a refusal", raw, status, header.Get("Location"))
		}
	}
}

// Each answer is a refusal, or leads to the same path and query at the first
// host.
func FuzzRedirect(f *testing.F) {
	f.Add("GET", "/x?y", "a.example")
	f.Add("GET", "//evil.example", "evil.example")
	f.Add("GET", "http://evil.example/x", "a.example:80")
	f.Add("CONNECT", "evil.example:443", "evil.example:443")
	f.Add("GET", "*", "")
	handler := web.Redirect([]string{"a.example"}, "")
	f.Fuzz(func(t *testing.T, method, target, host string) {
		raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, target, host)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		location := w.Header().Get("Location")
		if w.Code == http.StatusBadRequest || w.Code == http.StatusMethodNotAllowed {
			if location != "" {
				t.Errorf("%q: got %d with a Location %q", raw, w.Code, location)
			}
			return
		}
		u, err := url.Parse(location)
		if err != nil || w.Code != http.StatusPermanentRedirect || u.Scheme != "https" || u.Host != "a.example" || u.User != nil {
			t.Fatalf("%q: got %d to %q (%v), want 308 to https://a.example", raw, w.Code, location, err)
		}
		if want := r.URL.Path; u.Path != want && want != "" {
			t.Errorf("%q: got the path %q, want %q", raw, u.Path, want)
		}
	})
}
