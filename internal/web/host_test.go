package web_test

import (
	"net/http"
	"strings"
	"testing"

	"messaging_api/internal/web"
)

func TestParseHost(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, tc := range []struct{ in, name, port string }{
		{"example.com", "example.com", ""},
		{"Example.COM", "example.com", ""},
		{"example.com.", "example.com", ""},
		{"example.com:443", "example.com", ":443"},
		{"example.com.:8443", "example.com", ":8443"},
		{"localhost", "localhost", ""},
		{"a", "a", ""},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{"my_host:65535", "my_host", ":65535"},
		{"1.example", "1.example", ""},
		{"1.2.3.4.example", "1.2.3.4.example", ""},
		{"0x7f", "0x7f", ""},
		{long + ".example", long + ".example", ""},
		{"127.0.0.1", "127.0.0.1", ""},
		{"127.0.0.1:1", "127.0.0.1", ":1"},
		{"example.com:00000443", "example.com", ":443"},
		{"[::1]:08443", "::1", ":8443"},
		{"[::1]", "::1", ""},
		{"[::1]:8443", "::1", ":8443"},
		{"[0:0:0:0:0:0:0:1]", "::1", ""},
		{"[2001:DB8::A]:443", "2001:db8::a", ":443"},
	} {
		name, port, ok := web.ParseHost(tc.in)
		if name != tc.name || port != tc.port || !ok {
			t.Errorf("ParseHost(%q) = %q, %q, %v, want %q, %q", tc.in, name, port, ok, tc.name, tc.port)
		}
	}
	for _, in := range []string{
		"", ".", "..", "a..b", ".a", "a b", " a", "a ", "a\x00", "a/b", "a?b", "a#b", "a@b", "user:pw@host", "http://a", "a%41", "*", "*.example.com",
		"-a", "a-", "a.-b", "żółć.example", "\u212aelvin.example", "a,b", "a\\b", `"a"`, "'a'", "<a>", "{id}", "a\r\nb",
		long + "a.example", strings.Repeat("a.", 127) + "a",
		":443", "a:", "a:0", "a:00000", "a:" + strings.Repeat("0", 300) + "1", "a:65536", "a:+1", "a:-1", "a:x", "a: 1", "a:1:2", "a:443/", "[::1]:", "[::1]:0",
		"::1", "[::1", "::1]", "[]", "[::1]x", "[[::1]]", "[127.0.0.1]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[example.com]", "fe80::1:8080",
		"1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "127.0.0.1.", "1", "127.1", "example.1",
	} {
		if name, port, ok := web.ParseHost(in); ok || name != "" || port != "" {
			t.Errorf("ParseHost(%q) = %q, %q, %v, want nothing", in, name, port, ok)
		}
	}
}

func TestHosts(t *testing.T) {
	const refused = ""
	some := newService(limits, "example.com", "::1", "192.0.2.1")
	anyHost := newService(limits)
	for _, tc := range []struct {
		host      string
		some, any string // how the link begins
	}{
		{"example.com", "https://example.com/msg/", "https://example.com/msg/"},
		{"EXAMPLE.com.", "https://example.com/msg/", "https://example.com/msg/"},
		{"example.com:8443", "https://example.com:8443/msg/", "https://example.com:8443/msg/"},
		{"[0::1]:8443", "https://[::1]:8443/msg/", "https://[::1]:8443/msg/"},
		{"[::1]", "https://[::1]/msg/", "https://[::1]/msg/"},
		{"192.0.2.1:443", "https://192.0.2.1:443/msg/", "https://192.0.2.1:443/msg/"},
		{"www.example.com", refused, "https://www.example.com/msg/"},
		{"example.org", refused, "https://example.org/msg/"},
		{"example.com.evil.example", refused, "https://example.com.evil.example/msg/"},
		{"[::2]", refused, "https://[::2]/msg/"},
		{"192.0.2.2", refused, "https://192.0.2.2/msg/"},
		{"localhost", refused, "https://localhost/msg/"},
	} {
		for s, want := range map[*service]string{some: tc.some, anyHost: tc.any} {
			a := s.postTo(tc.host)
			if want == refused {
				expectProblem(t, a, http.StatusMisdirectedRequest, "does not answer to that host name")
				continue
			}
			if got := a.Header.Get("Location"); a.StatusCode != http.StatusOK || !strings.HasPrefix(got, want) || !uuid4.MatchString(strings.TrimPrefix(got, want)) {
				t.Errorf("Host %q: got %d, Location %q, want it to begin with %q", tc.host, a.StatusCode, got, want)
			}
		}
	}
	for _, host := range []string{"", "a b", "example.com:0", "evil.example/@example.com", "user@example.com", "example.com,example.com"} {
		for _, s := range []*service{some, anyHost} {
			expectProblem(t, s.postTo(host), http.StatusBadRequest, "not a host name")
		}
	}
}

// postTo creates a message on a host.
func (s *service) postTo(host string) answer {
	return s.ask("POST", "/", nil, strings.NewReader(`{"message":"x"}`), func(r *http.Request) { r.Host = host })
}

// On the wire a host can come in more ways than one.
func TestHostsOnTheWire(t *testing.T) {
	w := newService(limits, "example.com").listen(t)
	for _, tc := range []struct{ name, input, want string }{
		{"HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n", "[400]"},
		{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "[400]"},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\n\r\n", "[400]"},
		{"malformed Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "[400]"},
		{"Host with a path", "GET / HTTP/1.1\r\nHost: example.com/msg\r\n\r\n", "[400]"},
		{"another Host", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "[421]"},
		{"HTTP/1.0 with Host", "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n", "[200]"},
		{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "[400]"},
		{"absolute form", "GET https://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "[200]"},
		{"absolute form without a path", "GET https://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n", "[200]"},
		{"absolute form decides", "GET https://example.com/ HTTP/1.1\r\nHost: example.org\r\n\r\n", "[200]"},
		{"absolute form decides against", "GET https://example.org/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "[421]"},
		{"CONNECT elsewhere", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", "[421]"},
		{"X-Forwarded-Host does not count", "GET / HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-Host: example.com\r\nForwarded: host=example.com\r\n\r\n", "[421]"},
		{"an HTTP/2 preface without HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "[400]"},
	} {
		if got := statuses(w.raw(t, tc.input)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	c := w.client(t, "HTTP/2.0")
	for host, want := range map[string]int{"example.com:8443": 200, "example.org": 421, "a_b-": 400} {
		if a := send(t, c, "GET", "/", fields("Host", host), nil); a.StatusCode != want {
			t.Errorf("HTTP/2 :authority %q: got %d, want %d", host, a.StatusCode, want)
		}
	}
}
