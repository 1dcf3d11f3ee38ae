package limit

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func newResolver(t testing.TB, proxies ...string) *Resolver {
	t.Helper()
	var prefixes []netip.Prefix
	for _, p := range proxies {
		prefixes = append(prefixes, netip.MustParsePrefix(p))
	}
	r, err := NewResolver(prefixes, 32, 64)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// clientOf returns the client that sent a request.
func clientOf(r *Resolver, remoteAddr string, header http.Header) Client {
	return r.Of(r.Sender(remoteAddr, header))
}

func TestClientIsThePeer(t *testing.T) {
	r := newResolver(t)
	for remote, want := range map[string]string{
		"203.0.113.9:1234":                     "203.0.113.9",
		"[::ffff:203.0.113.9]:1234":            "203.0.113.9",
		"203.0.113.9":                          "203.0.113.9",
		"[2001:db8:1:2:3:4:5:6]:1":             "2001:db8:1:2::",
		"2001:db8:1:2:3:4:5:6":                 "2001:db8:1:2::",
		"[2001:db8:1:2:ffff:ffff:ffff:ffff]:1": "2001:db8:1:2::",
		"[fe80::1%eth0]:1":                     "fe80::",
		"":                                     "0.0.0.0",
		"@":                                    "0.0.0.0",
		"pipe":                                 "0.0.0.0",
		"203.0.113.9:999999":                   "0.0.0.0",
		"203.0.113.300:1":                      "0.0.0.0",
	} {
		if got := clientOf(r, remote, nil).String(); got != want {
			t.Errorf("Client(%q) = %s, want %s", remote, got, want)
		}
	}
}

func TestClientPrefixes(t *testing.T) {
	r, err := NewResolver(nil, 24, 48)
	if err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]string{
		"203.0.113.9:1":               "203.0.113.0",
		"[::ffff:203.0.113.77]:1":     "203.0.113.0",
		"[2001:db8:1:2:3:4:5:6]:1":    "2001:db8:1::",
		"[2001:db8:1:ffff:3:4:5:6]:1": "2001:db8:1::",
	} {
		if got := clientOf(r, remote, nil).String(); got != want {
			t.Errorf("Client(%q) = %s, want %s", remote, got, want)
		}
	}
	for _, bits := range [][2]int{{0, 64}, {33, 64}, {-1, 64}, {32, 0}, {32, 129}} {
		if _, err := NewResolver(nil, bits[0], bits[1]); err == nil {
			t.Errorf("NewResolver with /%d and /%d: got no error", bits[0], bits[1])
		}
	}
}

// A host that takes another address of its /64 for each request is one client,
// and gets one budget.
func TestRotatingAddressesOfOnePrefixAreOneClient(t *testing.T) {
	r := newResolver(t)
	table := NewTable(Limits{Create: mustRate(t, "1/s:30")}, 1024)
	granted := 0
	for i := range 10_000 {
		remote := fmt.Sprintf("[2001:db8:1:2:%x:%x:%x:%x]:443", i*7919%65536, i, i*31%65536, i*i%65536)
		if take(table, clientOf(r, remote, nil), Create, 1, noon).Allowed {
			granted++
		}
	}
	if granted != 30 {
		t.Errorf("10,000 addresses of one /64 were granted %d creates, want 30", granted)
	}
	if n := table.Stats().Clients; n != 1 {
		t.Errorf("they are %d clients, want 1", n)
	}
}

// The headers of a peer that is not a trusted proxy do not change its client.
func TestForgedHeadersChangeNothing(t *testing.T) {
	const peer = "198.51.100.7:5555"
	want := clientOf(newResolver(t), peer, nil)
	values := []string{
		"1.2.3.4", "1.2.3.4, 5.6.7.8", "10.0.0.1", "127.0.0.1", "::1", "[2001:db8::1]:1", "unknown", "", ",", ", ,",
		"for=1.2.3.4", `for="[2001:db8::1]:1";proto=https;by=10.0.0.1`, "for=unknown, for=1.2.3.4", "198.51.100.8",
		strings.Repeat("1.2.3.4, ", 2000) + "1.2.3.4", strings.Repeat("x", 1<<16), "\x00", "1.2.3.4\r\nX-Forwarded-For: 5.6.7.8",
	}
	names := []string{
		"X-Forwarded-For", "X-Forwarded", "Forwarded", "Forwarded-For", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "Cf-Connecting-Ip",
		"Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "True-Client-Ip", "X-Cluster-Client-Ip", "Fastly-Client-Ip", "X-Original-Forwarded-For",
		"X-Remote-Addr", "X-Remote-Ip", "X-Host", "X-Envoy-External-Address", "Via", "x-forwarded-for", "X_Forwarded_For",
	}
	for _, proxies := range [][]string{nil, {"10.0.0.0/8", "127.0.0.0/8", "::1/128"}} {
		r := newResolver(t, proxies...)
		for _, name := range names {
			for _, value := range values {
				for _, lines := range [][]string{{value}, {value, value}, {"5.6.7.8", value}} {
					if got := clientOf(r, peer, http.Header{name: lines}); got != want {
						t.Errorf("proxies %v, %s: %.40q: client %v, want %v", proxies, name, lines, got, want)
					}
				}
			}
		}
	}
	// Even behind a trusted proxy, only X-Forwarded-For is read.
	r := newResolver(t, "198.51.100.0/24")
	for _, name := range names[1:] {
		if got := clientOf(r, peer, http.Header{name: {"1.2.3.4"}}); got != want {
			t.Errorf("from a proxy, %s: client %v, want %v", name, got, want)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	r := newResolver(t, "10.0.0.0/8", "192.0.2.1/32", "fd00::/8")
	const proxy = "10.0.0.1"
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"none", nil, proxy},
		{"empty", []string{""}, proxy},
		{"commas", []string{" , ,\t,"}, proxy},
		{"one", []string{"203.0.113.9"}, "203.0.113.9"},
		{"the rightmost", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9"},
		{"no spaces", []string{"1.2.3.4,203.0.113.9"}, "203.0.113.9"},
		{"tabs", []string{"1.2.3.4\t,\t203.0.113.9\t"}, "203.0.113.9"},
		{"an empty element", []string{"1.2.3.4, 203.0.113.9, ,"}, "203.0.113.9"},
		{"past trusted ones", []string{"1.2.3.4, 203.0.113.9, 192.0.2.1, 10.9.9.9"}, "203.0.113.9"},
		{"past a mapped one", []string{"203.0.113.9, ::ffff:10.2.3.4"}, "203.0.113.9"},
		{"past IPv6", []string{"203.0.113.9, [fd00::1]:80, fd00::2"}, "203.0.113.9"},
		{"a trusted one behind a client", []string{"10.0.0.7, 203.0.113.9"}, "203.0.113.9"},
		{"only trusted ones", []string{"10.0.0.9, 10.0.0.2"}, "10.0.0.9"},
		{"lines are one list", []string{"1.2.3.4, 203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"in their order", []string{"1.2.3.4", "203.0.113.9"}, "203.0.113.9"},
		{"an empty last line", []string{"1.2.3.4", "203.0.113.9", ""}, "203.0.113.9"},
		{"with a port", []string{"203.0.113.9:8080"}, "203.0.113.9"},
		{"IPv6", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::"},
		{"IPv6 in brackets", []string{"[2001:db8:1:2:3::4]"}, "2001:db8:1:2::"},
		{"IPv6 with a port", []string{"[2001:db8:1:2:3::4]:443"}, "2001:db8:1:2::"},
		{"mapped", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"a zone", []string{"fe80::1%eth0"}, "fe80::"},

		{"unknown", []string{"unknown"}, proxy},
		{"malformed behind a client", []string{"unknown, 203.0.113.9"}, "203.0.113.9"},
		{"malformed before a client", []string{"203.0.113.9, unknown"}, proxy},
		{"malformed before a trusted one", []string{"203.0.113.9, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"malformed last line", []string{"203.0.113.9", "x"}, proxy},
		{"Forwarded's form", []string{"for=203.0.113.9"}, proxy},
		{"half a bracket", []string{"[2001:db8::1"}, proxy},
		{"other half", []string{"2001:db8::1]"}, proxy},
		{"brackets in brackets", []string{"[[2001:db8::1]]"}, proxy},
		{"port out of range", []string{"203.0.113.9:70000"}, proxy},
		{"leading zeros", []string{"203.0.113.009"}, proxy},
		{"spaces inside", []string{"203.0.113.9 10.0.0.2"}, proxy},
		{"too long a hop", []string{"203.0.113.9, " + strings.Repeat("1", 1<<16)}, proxy},
		{"padding hides no hop", []string{"203.0.113.9,10.0.0.2," + strings.Repeat(" ", 200) + "10.0.0.3"}, "203.0.113.9"},
		{"31 trusted hops", []string{"203.0.113.9" + strings.Repeat(", 10.0.0.5", 31)}, "203.0.113.9"},
		{"32 trusted hops", []string{"203.0.113.9" + strings.Repeat(", 10.0.0.5", 32)}, "10.0.0.5"},
		{"32 lines", append([]string{"203.0.113.9"}, slices.Repeat([]string{"10.0.0.5"}, 32)...), "10.0.0.5"},
		{"10,000 empty elements", []string{"203.0.113.9" + strings.Repeat(",", 10_000)}, proxy},
	} {
		got := clientOf(r, proxy+":999", http.Header{"X-Forwarded-For": test.lines}).String()
		if got != test.want {
			t.Errorf("%s: %.60q: client %s, want %s", test.name, test.lines, got, test.want)
		}
	}
}

func TestTrusted(t *testing.T) {
	r := newResolver(t, "10.1.2.3/8", "2001:db8::/32")
	for addr, want := range map[string]bool{
		"10.255.0.1": true, "::ffff:10.0.0.1": true, "11.0.0.1": false, "2001:db8:9::1%lo": true, "2001:db9::1": false, "::": false,
	} {
		if got := r.Trusted(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Trusted(%s) = %v, want %v", addr, got, want)
		}
	}
	if r.Trusted(netip.Addr{}) {
		t.Error("the zero address is trusted")
	}
	// A peer without an address is no proxy, even where every address is one.
	all := newResolver(t, "0.0.0.0/0", "::/0")
	if got := clientOf(all, "@", http.Header{"X-Forwarded-For": {"203.0.113.9"}}).String(); got != "0.0.0.0" {
		t.Errorf("a peer without an address counts as %s", got)
	}
}

// The client is always the peer, or an address in the header to the right of every
// malformed hop. From an untrusted peer it is the peer.
func FuzzClient(f *testing.F) {
	f.Add("10.0.0.1:1", "203.0.113.9, 10.0.0.2", "")
	f.Add("203.0.113.9:1", "1.2.3.4", "10.0.0.1")
	f.Add("[fe80::1%x]:1", "[::1]:1,,unknown", " , ")
	f.Add("10.0.0.1:1", strings.Repeat("10.0.0.3,", 40), "::ffff:10.0.0.4")
	r, err := NewResolver([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, 32, 64)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		peer := clientOf(r, remote, nil)
		got := clientOf(r, remote, http.Header{"X-Forwarded-For": {first, second}})
		if got == peer {
			return
		}
		if !r.Trusted(netip.AddrFrom16(peer)) {
			t.Fatalf("the untrusted peer %q counts as %v with %q, %q", remote, got, first, second)
		}
		list := strings.Split(first+","+second, ",")
		for i := len(list) - 1; i >= 0; i-- {
			hop := strings.Trim(list[i], " \t")
			if hop == "" {
				continue
			}
			addr, ok := parseHop(hop)
			if !ok {
				break
			}
			if r.Of(addr) == got {
				return
			}
			if !r.Trusted(addr) {
				break
			}
		}
		t.Errorf("%q with %q, %q is %v: no trusted hop says so", remote, first, second, got)
	})
}

func BenchmarkClient(b *testing.B) {
	r, err := NewResolver([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, 32, 64)
	if err != nil {
		b.Fatal(err)
	}
	header := http.Header{"X-Forwarded-For": {"1.2.3.4, 2001:db8:1:2::3, 10.0.0.2"}}
	for name, remote := range map[string]string{"peer": "203.0.113.9:54321", "proxy": "10.0.0.1:54321"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				clientOf(r, remote, header)
			}
		})
	}
}

// A token has buckets apart from those of addresses and of other tokens, the same in
// every process.
func TestTokenClient(t *testing.T) {
	alice := TokenClient("alice")
	if alice == TokenClient("bob") || alice != TokenClient("alice") {
		t.Error("tokens of different names are one client, or one name is two")
	}
	addr := alice.Addr()
	if reserved := netip.MustParsePrefix("100::/8"); !reserved.Contains(addr) || addr.IsGlobalUnicast() && netip.MustParsePrefix("2000::/3").Contains(addr) {
		t.Errorf("a token counts as %v, want an address that no peer has", addr)
	}
}
