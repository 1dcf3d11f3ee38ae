package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/web"
)

const (
	typeJSON    = "application/json"
	typeText    = "text/plain"
	typeForm    = "application/x-www-form-urlencoded"
	typeProblem = "application/problem+json"
	typeUTF8    = "text/plain; charset=utf-8"
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// decode reads a JSON body that has exactly these members.
func decode(t *testing.T, body string, members ...string) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	for _, name := range members {
		if _, ok := got[name]; !ok {
			t.Errorf("body %q: no member %q", body, name)
		}
	}
	if len(got) != len(members) {
		t.Errorf("body %q: want only the members %q", body, members)
	}
	return got
}

// expectProblem checks an RFC 9457 body, and that its detail holds some words.
func expectProblem(t *testing.T, a answer, status int, words string) {
	t.Helper()
	if a.StatusCode != status || a.Header.Get("Content-Type") != typeProblem {
		t.Fatalf("got %d %s %q, want %d %s", a.StatusCode, a.Header.Get("Content-Type"), a.body, status, typeProblem)
	}
	got := decode(t, a.body, "type", "title", "status", "detail")
	if got["type"] != "about:blank" || got["title"] != http.StatusText(status) || got["status"] != float64(status) {
		t.Errorf("problem %v: want about:blank, %q, %d", got, http.StatusText(status), status)
	}
	if detail, _ := got["detail"].(string); !strings.Contains(detail, words) {
		t.Errorf("detail %q: want %q in it", detail, words)
	}
}

// expectText reads the message that an answer to POST links to.
func (s *service) expectText(t *testing.T, a answer, text string) {
	t.Helper()
	link, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	read := s.ask("GET", link.Path, fields("Accept", "text/plain"), nil)
	if read.StatusCode != http.StatusOK || read.body != text {
		t.Errorf("GET %s: %d %.80q, want 200 %.80q", link.Path, read.StatusCode, read.body, text)
	}
}

func TestCreate(t *testing.T) {
	const week = 168 * time.Hour
	for _, tc := range []struct {
		name, contentType, target, body string
		text                            string
		ttl                             time.Duration
	}{
		{"JSON", typeJSON, "/", `{"message":"hello"}`, "hello", week},
		{"JSON with ttl", typeJSON, "/", `{"message":"hello","ttl":3600}`, "hello", time.Hour},
		{"JSON in the other order", typeJSON, "/", ` { "ttl" : 1 , "message" : "hello" } ` + "\r\n", "hello", time.Second},
		{"JSON with the longest ttl", typeJSON, "/", `{"message":"hello","ttl":604800}`, "hello", week},
		{"JSON without Content-Type", "", "/", `{"message":"hello"}`, "hello", week},
		{"JSON with a charset", "application/json; charset=UTF-8", "/", `{"message":"ż"}`, "ż", week},
		{"JSON with a byte order mark", typeJSON, "/", "\ufeff" + `{"message":"\ufeffhello"}`, "\ufeffhello", week}, // RFC 8259, section 8.1
		{"JSON with WHATWG's name of UTF-8", "application/json; charset=utf8", "/", `{"message":"ż"}`, "ż", week},
		{"JSON in capitals", "Application/JSON", "/", `{"message":"hello"}`, "hello", week},
		{"JSON with escapes", typeJSON, "/", `{"m\u0065ssage":"\u0000\n\"\\\/\u00e9\ud83d\ude00"}`, "\x00\n\"\\/é😀", week},
		{"JSON with line separators and HTML", typeJSON, "/", `{"message":"<b>&\u2028\u2029</b>"}`, "<b>&\u2028\u2029</b>", week},
		{"text", typeText, "/", "hello", "hello", week},
		{"text with ttl", typeText, "/?ttl=3600", "hello", "hello", time.Hour},
		{"text with an empty query", typeText, "/?", "hello", "hello", week},
		{"text that looks like a form", typeText, "/", "message=a&ttl=1", "message=a&ttl=1", week},
		{"text of one space", typeText, "/", " ", " ", week},
		{"text with everything", typeText, "/", "\x00\r\n\ufeffzażółć 👋\n", "\x00\r\n\ufeffzażółć 👋\n", week},
		{"text with charset", "text/plain; charset=utf-8", "/", "ż", "ż", week},
		{"text with WHATWG's name of UTF-8", "text/plain; charset=UTF8", "/", "ż", "ż", week},
		{"text with charset in quotes", `text/plain;charset="UTF-8"`, "/", "ż", "ż", week},
		{"text in ASCII", "text/plain; charset=us-ascii", "/", "z", "z", week},
		{"text with another parameter", "text/plain; format=flowed", "/", "z", "z", week},
		{"form", typeForm, "/", "message=hello", "hello", week},
		{"form with ttl", typeForm, "/", "ttl=3600&message=a+b%20c%26%3d", "a b c&=", time.Hour},
		{"form with empty parts", typeForm, "/", "&message=hello&&", "hello", week},
		{"form with a semicolon", typeForm, "/", "message=a;b=c", "a;b=c", week},
		{"form with charset", typeForm + "; charset=utf-8", "/", "message=%C5%BC", "ż", week},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(limits)
			h := fields()
			if tc.contentType != "" {
				h = fields("Content-Type", tc.contentType)
			}
			before := time.Now()
			a := s.ask("POST", tc.target, h, strings.NewReader(tc.body))
			after := time.Now()
			if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != typeJSON {
				t.Fatalf("got %d %s %s", a.StatusCode, a.Header.Get("Content-Type"), a.body)
			}
			got := decode(t, a.body, "status", "message_id", "url", "owner_token", "expires_at")
			id, _ := got["message_id"].(string)
			if got["status"] != 200.0 || !uuid4.MatchString(id) {
				t.Errorf("body %s: want status 200 and a UUID", a.body)
			}
			if want := "https://example.com/msg/" + id; got["url"] != want || a.Header.Get("Location") != want {
				t.Errorf("url %v, Location %s, want %s", got["url"], a.Header.Get("Location"), want)
			}
			expires, err := time.Parse(time.RFC3339, got["expires_at"].(string))
			early, late := before.Add(tc.ttl).Truncate(time.Millisecond), after.Add(tc.ttl)
			if err != nil || expires.Before(early) || expires.After(late) {
				t.Errorf("expires_at %v, %v, want %v to %v", expires, err, early, late)
			}
			s.expectText(t, a, tc.text)
		})
	}
}

func TestCreateRefusesBodies(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, target, body, words string
	}{
		{"empty", typeJSON, "/", "", "unexpected EOF"},
		{"plain text without a type", "", "/", "hello", "invalid character 'h'"},
		{"empty object", typeJSON, "/", "{}", "missing or empty"},
		{"null", typeJSON, "/", "null", "missing or empty"},
		{"array", typeJSON, "/", `["hello"]`, "not a JSON object"},
		{"string", typeJSON, "/", `"hello"`, "not a JSON object"},
		{"number", typeJSON, "/", `5`, "not a JSON object"},
		{"no message", typeJSON, "/", `{"ttl":5}`, "missing or empty"},
		{"empty message", typeJSON, "/", `{"message":""}`, "missing or empty"},
		{"message null", typeJSON, "/", `{"message":null}`, `"message" must be a string`},
		{"message a number", typeJSON, "/", `{"message":5}`, `"message" must be a string`},
		{"message an object", typeJSON, "/", `{"message":{"message":"x"}}`, `"message" must be a string`},
		{"message an array", typeJSON, "/", `{"message":["x"]}`, `"message" must be a string`},
		{"message true", typeJSON, "/", `{"message":true}`, `"message" must be a string`},
		{"ttl a string", typeJSON, "/", `{"message":"x","ttl":"60"}`, `"ttl" must be a number`},
		{"ttl null", typeJSON, "/", `{"message":"x","ttl":null}`, `"ttl" must be a number`},
		{"ttl true", typeJSON, "/", `{"message":"x","ttl":true}`, `"ttl" must be a number`},
		{"ttl an object", typeJSON, "/", `{"message":"x","ttl":{}}`, `"ttl" must be a number`},
		{"misspelt ttl", typeJSON, "/", `{"message":"x","tll":60}`, `"tll" is not known; known are: message, ttl`},
		{"capitals", typeJSON, "/", `{"Message":"x"}`, `"Message" is not known`},
		{"unknown after", typeJSON, "/", `{"message":"x","a/b~c":60}`, `"a/b~c" is not known`},
		{"unknown and deep", typeJSON, "/", `{"x":` + strings.Repeat("[", 100_000), `"x" is not known`},
		{"deep", typeJSON, "/", `{"message":` + strings.Repeat("[", 100_000), "exceeded max depth"},
		{"no name", typeJSON, "/", `{"":1}`, `"" is not known`},
		{"repeated", typeJSON, "/", `{"message":"x","message":"x"}`, `"message" is given more than once`},
		{"repeated, escaped", typeJSON, "/", `{"message":"x","ttl":1,"\u0074tl":1}`, `"ttl" is given more than once`},
		{"trailing object", typeJSON, "/", `{"message":"x"}{}`, "after top-level value"},
		{"trailing NUL", typeJSON, "/", "{\"message\":\"x\"}\x00", "after top-level value"},
		{"trailing comma", typeJSON, "/", `{"message":"x",}`, "invalid character ','"},
		{"cut short", typeJSON, "/", `{"message":"x"`, "unexpected EOF"},
		{"cut in a string", typeJSON, "/", `{"message":"x`, "unexpected EOF"},
		{"comment", typeJSON, "/", `{"message":"x"/**/}`, "invalid character '/'"},
		{"two byte order marks", typeJSON, "/", "\ufeff\ufeff{\"message\":\"x\"}", `'\ufeff'`},
		{"JSON as fetch sends it without a type", "text/plain;charset=UTF-8", "/", `{"message":"x","ttl":5}`, "set Content-Type: application/json"},
		{"single quotes", typeJSON, "/", `{'message':'x'}`, `'\''`},
		{"control character", typeJSON, "/", "{\"message\":\"a\nb\"}", `'\n' in string`},
		{"bad escape", typeJSON, "/", `{"message":"\é"}`, "invalid escape"},
		{"bad UTF-8", typeJSON, "/", "{\"message\":\"a\xff\"}", "invalid UTF-8"},
		{"bad UTF-8 in a name", typeJSON, "/", "{\"\xff\":\"a\"}", "invalid UTF-8"},
		{"overlong UTF-8", typeJSON, "/", "{\"message\":\"\xc0\xaf\"}", "invalid UTF-8"},
		{"surrogate in UTF-8", typeJSON, "/", "{\"message\":\"\xed\xa0\x80\"}", "invalid UTF-8"},
		{"high surrogate alone", typeJSON, "/", `{"message":"\ud800"}`, "surrogate"},
		{"low surrogate alone", typeJSON, "/", `{"message":"\udc00x"}`, "surrogate"},
		{"surrogates swapped", typeJSON, "/", `{"message":"\udc00\ud800"}`, "surrogate"},
		{"query with JSON", typeJSON, "/?ttl=5", `{"message":"x"}`, "only taken with text/plain"},
		{"query with a form", typeForm, "/?ttl=5", `message=x`, "only taken with text/plain"},

		{"empty text", typeText, "/", "", "missing or empty"},
		{"text not UTF-8", typeText, "/", "a\xff", "not UTF-8"},
		{"text in Latin-1, said so", "text/plain; charset=utf-8", "/", "\xe9", "not UTF-8"},
		{"unknown parameter", typeText, "/?tll=5", "x", `The query parameter "tll" is not known; known are: ttl`},
		{"message as a parameter", typeText, "/?message=x", "x", `"message" is not known`},
		{"repeated parameter", typeText, "/?ttl=5&ttl=5", "x", `"ttl" is given more than once`},
		{"empty parameter", typeText, "/?ttl=", "x", `"ttl" is empty`},
		{"parameter without value", typeText, "/?ttl", "x", `"ttl" is empty`},
		{"malformed parameter", typeText, "/?ttl=%zz", "x", "query parameter is malformed"},
		{"malformed name", typeText, "/?%zz=1", "x", "malformed"},
		{"parameter not UTF-8", typeText, "/?%ff=1", "x", `"\xff" is not known`},
		{"semicolons do not separate", typeText, "/?ttl=5;ttl=5", "x", `"ttl" is "5;ttl=5"`},

		{"empty form", typeForm, "/", "", "missing or empty"},
		{"form without message", typeForm, "/", "ttl=5", "missing or empty"},
		{"form with empty message", typeForm, "/", "message=", `"message" is empty`},
		{"form with empty ttl", typeForm, "/", "message=x&ttl=", `"ttl" is empty`},
		{"form with unknown field", typeForm, "/", "message=x&tll=5", `The form field "tll" is not known; known are: message, ttl`},
		{"form with long unknown field", typeForm, "/", strings.Repeat("é", 500) + "=5", `…" is not known`},
		{"form with repeated message", typeForm, "/", "message=x&message=x", `"message" is given more than once`},
		{"form, repeated and escaped", typeForm, "/", "ttl=5&message=x&%74tl=5", `"ttl" is given more than once`},
		{"form, malformed", typeForm, "/", "message=%", "form field is malformed"},
		{"form, not UTF-8", typeForm, "/", "message=%ff", "not UTF-8"},
		{"form, raw bytes", typeForm, "/", "message=\xff", "not UTF-8"},
		{"form of nothing but separators", typeForm, "/", "message=x" + strings.Repeat("&", 16), "too many"},
		{"text as a form", typeForm, "/", "hello world", "curl --data-binary @FILE -H 'Content-Type: text/plain' https://example.com/"},
		{"JSON as a form", typeForm, "/", `{"message":"x"}`, "is not known"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(limits)
			h := fields()
			if tc.contentType != "" {
				h = fields("Content-Type", tc.contentType)
			}
			expectProblem(t, s.ask("POST", tc.target, h, strings.NewReader(tc.body)), 400, tc.words)
			if calls, _ := s.store.count(); calls != 0 {
				t.Error("the store was asked")
			}
		})
	}
}

// The rule for a ttl is the same wherever it is written.
func TestCreateJudgesTTL(t *testing.T) {
	short := web.Limits{MaxBytes: 1024, TTL: 30 * time.Second, TTLMax: time.Minute}
	for ttl, valid := range map[string]bool{
		"1": true, "59": true, "60": true,
		"0": false, "61": false, "-1": false, "-0": false, "604800": false,
		"1.0": false, "1.5": false, "1e1": false, "1E1": false,
		"9223372036854775807": false, "9223372036854775808": false, "18446744073709551617": false,
		"1e400": false, strings.Repeat("9", 1000): false,
		"+5": false, "5s": false, " 5": false, "5 ": false, "0x5": false, "1_0": false, "٥": false, "five": false, "NaN": false,
	} {
		escaped := url.QueryEscape(ttl)
		for _, form := range []struct{ name, contentType, target, body string }{
			{"JSON", typeJSON, "/", `{"message":"x","ttl":` + ttl + `}`},
			{"text", typeText, "/?ttl=" + escaped, "x"},
			{"form", typeForm, "/", "message=x&ttl=" + escaped},
		} {
			s := newService(short)
			a := s.ask("POST", form.target, fields("Content-Type", form.contentType), strings.NewReader(form.body))
			switch {
			case valid && a.StatusCode != http.StatusOK:
				t.Errorf("%s ttl %.20s: got %d %s, want 200", form.name, ttl, a.StatusCode, a.body)
			case !valid && strings.TrimSpace(ttl) != ttl && form.name == "JSON": // white space there is JSON's own
			case !valid && form.name == "JSON" && !json.Valid([]byte(form.body)):
				expectProblem(t, a, 400, "not valid JSON")
			case !valid:
				expectProblem(t, a, 400, "whole number of seconds from 1 to 60")
			}
		}
	}
}

func TestCreateDefaultsTTL(t *testing.T) {
	s := newService(web.Limits{MaxBytes: 1024, TTL: 30 * time.Second, TTLMax: time.Minute})
	before := time.Now()
	a := s.ask("POST", "/", nil, strings.NewReader(`{"message":"x"}`))
	expires, err := time.Parse(time.RFC3339, decode(t, a.body, "status", "message_id", "url", "owner_token", "expires_at")["expires_at"].(string))
	if err != nil || expires.Before(before.Add(30*time.Second).Truncate(time.Millisecond)) || expires.After(time.Now().Add(30*time.Second)) {
		t.Errorf("expires %v, %v, want half a minute after %v", expires, err, before)
	}
}

func TestCreateRefusesTypes(t *testing.T) {
	const accepted = "application/json, text/plain, application/x-www-form-urlencoded"
	for name, tc := range map[string]struct {
		header http.Header
		field  string // that says what would be accepted
		want   string
	}{
		"XML":                     {fields("Content-Type", "application/xml"), "Accept-Post", accepted},
		"HTML":                    {fields("Content-Type", "text/html"), "Accept-Post", accepted},
		"multipart":               {fields("Content-Type", "multipart/form-data; boundary=x"), "Accept-Post", accepted},
		"a JSON dialect":          {fields("Content-Type", "application/merge-patch+json"), "Accept-Post", accepted},
		"a range":                 {fields("Content-Type", "text/*"), "Accept-Post", accepted},
		"empty":                   {fields("Content-Type", ""), "Accept-Post", accepted},
		"malformed":               {fields("Content-Type", "text/plain; charset"), "Accept-Post", accepted},
		"malformed too":           {fields("Content-Type", "application/json, text/plain"), "Accept-Post", accepted},
		"two fields":              {fields("Content-Type", typeJSON, "Content-Type", typeJSON), "Accept-Post", accepted},
		"Latin-1":                 {fields("Content-Type", "text/plain; charset=iso-8859-1"), "Accept-Post", accepted},
		"UTF-16":                  {fields("Content-Type", "application/json; charset=utf-16"), "Accept-Post", accepted},
		"two charsets":            {fields("Content-Type", "text/plain; charset=utf-8; charset=utf-16"), "Accept-Post", accepted},
		"gzip":                    {fields("Content-Encoding", "gzip"), "Accept-Encoding", "identity"},
		"identity and gzip":       {fields("Content-Encoding", "identity, gzip"), "Accept-Encoding", "identity"},
		"identity, then gzip":     {fields("Content-Encoding", "identity", "Content-Encoding", "gzip"), "Accept-Encoding", "identity"},
		"an invented encoding":    {fields("Content-Encoding", "rot13", "Content-Type", typeText), "Accept-Encoding", "identity"},
		"encoding with bad type":  {fields("Content-Encoding", "br", "Content-Type", "image/png"), "Accept-Encoding", "identity"},
		"a type in a parameter":   {fields("Content-Type", `image/png; x="text/plain"`), "Accept-Post", accepted},
		"an almost right type":    {fields("Content-Type", "text/plain2"), "Accept-Post", accepted},
		"a type without a family": {fields("Content-Type", "json"), "Accept-Post", accepted},
	} {
		t.Run(name, func(t *testing.T) {
			a := newService(limits).ask("POST", "/", tc.header, strings.NewReader(`{"message":"x"}`))
			expectProblem(t, a, http.StatusUnsupportedMediaType, "")
			if got := a.Header.Get(tc.field); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.field, got, tc.want)
			}
		})
	}
	a := newService(limits).ask("POST", "/", fields("Content-Encoding", "identity"), strings.NewReader(`{"message":"x"}`))
	if a.StatusCode != http.StatusOK {
		t.Errorf("Content-Encoding: identity: got %d %s, want 200", a.StatusCode, a.body)
	}
}

// A counter counts what is read from it.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestCreateCutsOffWhileReading(t *testing.T) {
	for _, most := range []int64{1, 100, 8 << 10, 10_000, 256 << 10} {
		bounded := limits
		bounded.MaxBytes = most
		s := newService(bounded)
		words := fmt.Sprintf("over %d bytes", most)
		text := fields("Content-Type", typeText)

		in := &counter{Reader: endless{}}
		expectProblem(t, s.ask("POST", "/", text, in), http.StatusRequestEntityTooLarge, words)
		if in.n > most+1 {
			t.Errorf("without Content-Length: read %d bytes of %d", in.n, most)
		}

		announced := &counter{Reader: bytes.NewReader(make([]byte, most+1))}
		length := func(r *http.Request) { r.ContentLength = most + 1 }
		expectProblem(t, s.ask("POST", "/", text, announced, length), http.StatusRequestEntityTooLarge, words)
		if announced.n != 0 {
			t.Errorf("with Content-Length: read %d bytes of what was announced as too much", announced.n)
		}

		exact := strings.Repeat("x", int(most))
		a := s.ask("POST", "/", text, &counter{Reader: strings.NewReader(exact)})
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%d of %d bytes: got %d %s, want 200", most, most, a.StatusCode, a.body)
		}
		s.expectText(t, a, exact)
	}
}

// On a real connection the answer arrives although the body never ends.
func TestCreateCutsOffOnTheWire(t *testing.T) {
	w := newService(limits).listen(t)
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			a := send(t, w.client(t, protocol), "POST", "/", fields("Content-Type", typeText), endless{})
			expectProblem(t, a, http.StatusRequestEntityTooLarge, "over 262144 bytes")
		})
	}
}

// The largest text is returned whole, however JSON escapes it.
func TestLargestMessages(t *testing.T) {
	w := newService(limits).listen(t)
	for _, text := range []string{
		strings.Repeat("x", 256<<10),
		strings.Repeat("\x01", 256<<10), // six bytes each in JSON
		strings.Repeat("👋", 64<<10),
	} {
		for _, protocol := range protocols {
			c := w.client(t, protocol)
			link := send(t, c, "POST", "/", fields("Content-Type", typeText), strings.NewReader(text)).Header.Get("Location")
			path := strings.TrimPrefix(link, "https://example.com")
			if got := send(t, c, "GET", path, fields("Accept", typeText), nil); got.body != text {
				t.Errorf("%s: %.20q: got %d bytes, want %d", protocol, text, len(got.body), len(text))
			}
			got := decode(t, send(t, c, "GET", path, nil, nil).body, "status", "message", "expires_at")
			if got["message"] != text {
				t.Errorf("%s: %.20q: JSON holds another text", protocol, text)
			}
		}
	}
}

// A body that ends early or never arrives is a refusal that says so.
func TestCreateBrokenBodies(t *testing.T) {
	w := newService(limits).listen(t)
	const head = "POST / HTTP/1.1\r\nHost: example.com\r\n"
	for name, input := range map[string]string{
		"shorter than announced":   head + "Content-Length: 100\r\n\r\nx",
		"chunks that break off":    head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"chunks that are none":     head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
		"a chunk with a bare LF":   head + "Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
		"a chunk that is too long": head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			answers := w.raw(t, input)
			if len(answers) != 1 {
				t.Fatalf("got %d answers, want 1", len(answers))
			}
			expectProblem(t, answers[0], 400, "ended early or is malformed")
		})
	}
	for _, protocol := range protocols {
		t.Run("slow over "+protocol, func(t *testing.T) {
			w, e := slow(t)
			expectProblem(t, w.sendCase(t, w.client(t, protocol), e), http.StatusRequestTimeout, "in time")
		})
	}
}
