package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"messaging_api/internal/message"
)

var fuzzLimits = Limits{MaxBytes: 1 << 20, TTL: time.Hour, TTLMax: 24 * time.Hour}

// judge reads a creation and checks what holds for all of them: either a text
// and a lifetime within the rules, or a refusal that can be shown.
func judge(t *testing.T, contentType, query, body string) (message.Draft, bool) {
	t.Helper()
	w := httptest.NewRecorder()
	r := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/", RawQuery: query},
		Header: http.Header{"Content-Type": {contentType}},
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	load := NewInFlight(1, 0, fuzzLimits.MaxBytes, func(netip.Addr) Client { return Client{} })
	c, err := fuzzLimits.readCreation(&Exchange{w: w, load: load}, r)
	if err != nil {
		expectShowable(t, err)
		return message.Draft{}, false
	}
	if len(c.Text) == 0 || !utf8.Valid(c.Text) {
		t.Errorf("accepted the text %q", c.Text)
	}
	if c.TTL < time.Second || c.TTL > fuzzLimits.TTLMax || c.TTL%time.Second != 0 {
		t.Errorf("accepted the ttl %v", c.TTL)
	}
	if c.Reads < 0 || c.Reads > message.MaxReads || c.Reads == 0 && c.ProofHash != nil {
		t.Errorf("accepted %d reads with a proof: %v", c.Reads, c.ProofHash != nil)
	}
	return c, true
}

func expectShowable(t *testing.T, err error) {
	t.Helper()
	var e refusal
	if !errors.As(err, &e) || e.status < 400 || e.status >= 500 || e.cause != nil {
		t.Fatalf("got the error %v, want a refusal of the client's own", err)
	}
	if e.detail == "" || !utf8.ValidString(e.detail) || len(e.detail) > 1000 {
		t.Errorf("detail %q is not fit to be shown", e.detail)
	}
	var shown struct{ Detail string }
	if err := json.Unmarshal(problem(e.status, e.detail), &shown); err != nil || shown.Detail != e.detail {
		t.Errorf("detail %q is shown as %q, %v", e.detail, shown.Detail, err)
	}
}

// Another parser reads the same in all accepted JSON. Written again, it is accepted
// again.
func FuzzJSON(f *testing.F) {
	for _, body := range []string{
		`{"message":"hello","ttl":3600}`, `{"message":"\ud83d\ude00\u0000"}`, `{"message":"\ud800"}`, `{"m\u0065ssage":"x"}`,
		`{"message":"x","message":"y"}`, `{"message":"x","ttl":1e3}`, `{"message":"x"} `, `{"message":"x","reads":3,"proof_hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, `{"message":"x"}x`, `{"":[[[[`, "{\"message\":\"\xff\"}", `null`, ``, `{"message":"\é"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, ok := judge(t, mediaJSON, "", body)
		if !ok {
			return
		}
		var other struct {
			Message string
			TTL     *int64
			Reads   *int
		}
		if err := json.Unmarshal([]byte(body), &other); err != nil || other.Message != string(c.Text) {
			t.Errorf("%q: read %q, encoding/json %q, %v", body, c.Text, other.Message, err)
		}
		if other.TTL != nil && time.Duration(*other.TTL)*time.Second != c.TTL {
			t.Errorf("%q: read a ttl of %v, encoding/json %d", body, c.TTL, *other.TTL)
		}
		if other.Reads != nil && *other.Reads != c.Reads {
			t.Errorf("%q: read %d reads, encoding/json %d", body, c.Reads, *other.Reads)
		}
		again := string(append(appendString([]byte(`{"message":`), c.Text), '}'))
		if back, ok := judge(t, mediaJSON, "", again); !ok || string(back.Text) != string(c.Text) {
			t.Errorf("%q: written as %q, read as %q", c.Text, again, back.Text)
		}
	})
}

// Another parser reads the same in all accepted forms. Written again, they are
// accepted again.
func FuzzForm(f *testing.F) {
	for _, body := range []string{"message=hello&ttl=3600", "ttl=1&message=%C5%BC+%26", "message=a;b", "&&message=x&", "message=%ff", "message=%", "message=x&message=y", "%6dessage=x", "=x"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, ok := judge(t, mediaForm, "", body)
		if !ok {
			return
		}
		if !strings.Contains(body, ";") { // which url.ParseQuery refuses
			if other, err := url.ParseQuery(body); err != nil || other.Get("message") != string(c.Text) {
				t.Errorf("%q: read %q, net/url %q, %v", body, c.Text, other.Get("message"), err)
			}
		}
		again := url.Values{"message": {string(c.Text)}}.Encode()
		if back, ok := judge(t, mediaForm, "", again); !ok || string(back.Text) != string(c.Text) {
			t.Errorf("%q: written as %q, read as %q", c.Text, again, back.Text)
		}
	})
}

// A text is stored unchanged, whatever the query.
func FuzzText(f *testing.F) {
	f.Add("hello", "ttl=3600")
	f.Add("\xff", "")
	f.Add("", "ttl=1&ttl=1")
	f.Add("x", "ttl=%31")
	f.Add("x", "%ff=1")
	f.Fuzz(func(t *testing.T, body, query string) {
		if c, ok := judge(t, mediaText, query, body); ok && string(c.Text) != body {
			t.Errorf("%q became %q", body, c.Text)
		}
	})
}

// A Content-Type never does more than choose one of three parsers.
func FuzzContentType(f *testing.F) {
	for _, s := range []string{mediaJSON, mediaText + "; charset=utf-8", `text/plain;charset="us-ascii"`, "text/plain; charset*=utf-8''utf-8", mediaForm, ";", "a/b;c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, contentType string) {
		media, err := mediaType(http.Header{"Content-Type": {contentType}})
		if err != nil {
			expectShowable(t, err)
		} else if !strings.Contains(strings.ToLower(contentType), media) {
			t.Errorf("%q was taken for %s", contentType, media)
		}
	})
}

func FuzzTTL(f *testing.F) {
	for _, s := range []string{"1", "86400", "86401", "0", "-1", "+1", "007", "1e3", "9223372036854775808", "٣", " 1", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := fuzzLimits.judge(creation{text: []byte("x"), ttl: s})
		ttl := d.TTL
		switch {
		case err != nil:
			expectShowable(t, err)
		case s == "":
			if ttl != fuzzLimits.TTL {
				t.Errorf("no ttl is %v, want the default", ttl)
			}
		case strings.Trim(s, "0123456789") != "" || ttl < time.Second || ttl > fuzzLimits.TTLMax || ttl%time.Second != 0:
			t.Errorf("judge of ttl %q = %v", s, ttl)
		}
	})
}

// A list means the same in one field or in several, in small letters or
// capitals, and whatever else it names.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{"*/*", "text/plain;q=0.5, application/json;q=0.4", "text/*, */*;q=0", ",;q=,", "text/plain;q=1.000;x", "application/*;Q=0."} {
		f.Add(s, "text/plain")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 1000 || strings.Count(a+b, ",") > 29 {
			return // what is too long counts as nothing
		}
		want := rank([]string{a, b}).choose()
		if got := rank([]string{a + "," + b}).choose(); got != want {
			t.Errorf("%q and %q: %d in one field, %d in two", a, b, got, want)
		}
		capitals := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, a)
		if got := rank([]string{capitals, b}).choose(); utf8.ValidString(a) && got != want {
			t.Errorf("%q and %q: %d in capitals, want %d", a, b, got, want)
		}
		// Only a list that names nothing changes: from the default to a refusal.
		if got := rank([]string{a, b, "image/png"}).choose(); got != want && (want != asJSON || got != asNothing) {
			t.Errorf("%q and %q: %d with a type that we do not have, want %d", a, b, got, want)
		}
	})
}

// The form of a host that is compared is a host too, and a link with it leads to
// it.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"Example.com.:443", "[::1]:8443", "[::ffff:1.2.3.4]", "127.0.0.1", "a_b", "a..b", "\u212a", "[fe80::1%25x]", "x:0", "1.2.3", "a@b", "::1", "a:00443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, port, ok := ParseHost(s)
		if !ok {
			if name != "" || port != "" {
				t.Errorf("ParseHost(%q) = %q, %q without success", s, name, port)
			}
			return
		}
		written := name + port
		if strings.Contains(name, ":") {
			written = "[" + name + "]" + port
		}
		if again, port2, ok := ParseHost(written); !ok || again != name || port2 != port {
			t.Errorf("ParseHost(%q) = %q, %q, but ParseHost(%q) = %q, %q, %v", s, name, port, written, again, port2, ok)
		}
		link, err := url.Parse((&Exchange{host: name, port: port}).base() + messagePath + "id")
		if err != nil || link.Hostname() != name || ":"+link.Port() != port && port != "" || link.Path != "/msg/id" || link.User != nil {
			t.Errorf("ParseHost(%q): the link is %v, %v", s, link, err)
		}
	})
}

// Each opening that is accepted keeps the rules of its members.
func FuzzOpening(f *testing.F) {
	for _, body := range []string{
		`{"proof":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","claim":"0123456789abcdef"}`, `{}`, `{"claim":""}`, `{"claim":null}`,
		`{"proof":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"}`, `{"claim":"0123456789abcde\u0066"}`, `{"claim":1}`, `[]`, ``,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := &http.Request{
			Method: http.MethodPost, URL: &url.URL{Path: "/msg/x"}, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}
		load := NewInFlight(1, 0, fuzzLimits.MaxBytes, func(netip.Addr) Client { return Client{} })
		o, err := parseOpening(&Exchange{w: httptest.NewRecorder(), load: load}, r)
		if err != nil {
			expectShowable(t, err)
			return
		}
		if o.Proof != nil && len(o.Proof) != 32 || o.Claim != "" && !claimPattern.MatchString(o.Claim) {
			t.Errorf("%q: read %+v", body, o)
		}
	})
}
