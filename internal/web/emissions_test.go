package web_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/api"
	"messaging_api/internal/message"
)

// A statusCase is a request that gets one status.
type statusCase struct {
	name           string
	status         int
	method, target string
	header         http.Header
	body           io.Reader
	fault          func() error // of the store, meanwhile
	deny           string       // the budget that is spent, meanwhile
	raw            string       // HTTP/1 bytes, where no client would send such a request
	undocumented   bool         // docs/openapi.yaml forbids the request
}

// statusCases are requests for every status that the service can send, and for
// every cause of it. The service is for example.com alone.
func statusCases(w *testServer, t testing.TB) []statusCase {
	damaged := w.post(t, "hello")
	w.store.tamper()
	path := w.post(t, "hello")
	unknown := "/msg/" + message.NewID().Reveal()
	asText := fields("Accept", typeText)
	textBody := fields("Content-Type", typeText)
	return append(limitedStatusCases(w, t), []statusCase{
		{name: "description", status: 200, method: "GET", target: "/"},
		{name: "description as text", status: 200, method: "GET", target: "/", header: asText},
		{name: "description without body", status: 200, method: "HEAD", target: "/"},
		{name: "page", status: 200, method: "GET", target: "/", header: fields("Accept", asBrowser)},
		{name: "page in gzip", status: 200, method: "GET", target: "/", header: fields("Accept", asBrowser, "Accept-Encoding", "gzip")},
		{name: "page without body", status: 200, method: "HEAD", target: "/", header: fields("Accept", asBrowser)},
		{name: "page of a message", status: 200, method: "GET", target: path, header: fields("Accept", asBrowser, "Accept-Encoding", "br")},
		{name: "page of a message without body", status: 200, method: "HEAD", target: path, header: fields("Accept", asBrowser)},
		{name: "no reads left for the page", status: 429, method: "GET", target: "/", header: fields("Accept", asBrowser), deny: "read"},
		{name: "message", status: 200, method: "GET", target: path},
		{name: "message as text", status: 200, method: "GET", target: path, header: asText},
		{name: "message without body", status: 200, method: "HEAD", target: path},
		{name: "created from JSON", status: 200, method: "POST", target: "/",
			header: fields("Content-Type", typeJSON), body: strings.NewReader(`{"message":"hello","ttl":3600}`)},
		{name: "created from text", status: 200, method: "POST", target: "/?ttl=3600",
			header: textBody, body: strings.NewReader("hello")},
		{name: "created from a form", status: 200, method: "POST", target: "/",
			header: fields("Content-Type", typeForm, "Accept", typeText), body: strings.NewReader("message=hello&ttl=3600")},

		{name: "bad body", status: 400, method: "POST", target: "/", header: fields("Content-Type", typeJSON), body: strings.NewReader("{"), undocumented: true},
		{name: "bad body, as text", status: 400, method: "POST", target: "/", header: fields("Accept", typeText), body: strings.NewReader("{")},
		{name: "bad host", status: 400, method: "GET", target: "/", header: fields("Host", "a_b-")},
		{name: "both ways to frame a body", status: 400, method: "POST", target: "/", raw: "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{name: "foreign form", status: 403, method: "POST", target: "/", header: fields("Origin", "https://evil.example"), body: strings.NewReader("x")},
		{name: "foreign image", status: 403, method: "GET", target: path, header: fields("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")},
		{name: "foreign fetch", status: 403, method: "GET", target: "/", header: fields("Sec-Fetch-Site", "cross-site", "Accept", typeText)},
		{name: "unknown message", status: 404, method: "GET", target: unknown},
		{name: "unknown message, as text", status: 404, method: "GET", target: unknown, header: asText},
		{name: "unknown message without body", status: 404, method: "HEAD", target: unknown},
		{name: "damaged message", status: 404, method: "GET", target: damaged},
		{name: "unknown path", status: 404, method: "GET", target: "/x"},
		{name: "method", status: 405, method: "DELETE", target: "/"},
		{name: "method on a message", status: 405, method: "PUT", target: path},
		{name: "Accept", status: 406, method: "GET", target: path, header: fields("Accept", "image/png")},
		{name: "Accept for creation", status: 406, method: "POST", target: "/", header: fields("Accept", "image/png")},
		{name: "Accept for the description", status: 406, method: "GET", target: "/", header: fields("Accept", "image/png")},
		{name: "large body", status: 413, method: "POST", target: "/", header: textBody, body: endless{}},
		{name: "type", status: 415, method: "POST", target: "/", header: fields("Content-Type", "text/html"), undocumented: true},
		{name: "encoding", status: 415, method: "POST", target: "/", header: fields("Content-Encoding", "gzip")},
		{name: "other host", status: 421, method: "GET", target: "/", header: fields("Host", "example.org")},
		{name: "other host for creation", status: 421, method: "POST", target: "/", header: fields("Host", "example.org")},
		{name: "other host for a message", status: 421, method: "GET", target: path, header: fields("Host", "example.org")},
		{name: "no reads left", status: 429, method: "GET", target: path, deny: "read"},
		{name: "no reads left, as text", status: 429, method: "GET", target: path, deny: "read", header: asText},
		{name: "no reads left without body", status: 429, method: "HEAD", target: path, deny: "read"},
		{name: "no creations left", status: 429, method: "POST", target: "/", header: textBody, body: strings.NewReader("x"), deny: "create"},
		{name: "no bytes left", status: 429, method: "POST", target: "/", header: textBody, body: strings.NewReader("x"), deny: "fits"},
		{name: "store broken", status: 500, method: "GET", target: path, fault: func() error { return errBroken }},
		{name: "store broken for creation", status: 500, method: "POST", target: "/", header: textBody, body: strings.NewReader("x"),
			fault: func() error { return errBroken }},
		{name: "panic", status: 500, method: "GET", target: path, fault: func() error { panic("hello") }},
		{name: "store unavailable", status: 503, method: "GET", target: path, fault: func() error { return message.ErrUnavailable }},
		{name: "store unavailable for creation", status: 503, method: "POST", target: "/", header: textBody, body: strings.NewReader("x"),
			fault: func() error { return message.ErrUnavailable }},
		{name: "store full", status: 507, method: "POST", target: "/", header: textBody, body: strings.NewReader("x"),
			fault: func() error { return message.ErrFull }},

		{name: "not HTTP", status: 400, method: "GET", target: "/", raw: "hello\r\n\r\n"},
		{name: "malformed request line", status: 400, method: "GET", target: "/", raw: "GET / HTTP/1.1 x\r\nHost: example.com\r\n\r\n"},
		{name: "malformed target", status: 400, method: "GET", target: "/", raw: "GET /%zz HTTP/1.1\r\nHost: example.com\r\n\r\n"},
		{name: "malformed method", status: 400, method: "GET", target: "/", raw: "G{T / HTTP/1.1\r\nHost: example.com\r\n\r\n"},
		{name: "malformed field", status: 400, method: "GET", target: "/", raw: "GET / HTTP/1.1\r\nHost: example.com\r\nx\r\n\r\n"},
		{name: "malformed field name", status: 400, method: "GET", target: "/", raw: "GET / HTTP/1.1\r\nHost: example.com\r\nx y: z\r\n\r\n"},
		{name: "malformed field value", status: 400, method: "GET", target: "/", raw: "GET / HTTP/1.1\r\nHost: example.com\r\nx: a\x00b\r\n\r\n"},
		{name: "no Host", status: 400, method: "GET", target: "/", raw: "GET / HTTP/1.1\r\n\r\n"},
		{name: "two Hosts", status: 400, method: "GET", target: "/", raw: "GET / HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\n\r\n"},
		{name: "two lengths", status: 400, method: "POST", target: "/", raw: "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"},
		{name: "expectation", status: 417, method: "POST", target: "/", raw: "POST / HTTP/1.1\r\nHost: example.com\r\nExpect: the-spanish-inquisition\r\nContent-Length: 1\r\n\r\nx"},
		{name: "expectation of HTTP/1.0", status: 417, method: "GET", target: "/", raw: "GET / HTTP/1.0\r\nHost: example.com\r\nExpect: x\r\n\r\n"},
		{name: "large headers", status: 431, method: "GET", target: "/", raw: "GET / HTTP/1.1\r\nHost: example.com\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n"},
		{name: "large target", status: 431, method: "GET", target: "/", raw: "GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: example.com\r\n\r\n"},
		{name: "transfer coding", status: 501, method: "POST", target: "/", raw: "POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{name: "version", status: 505, method: "GET", target: "/", raw: "GET / HTTP/3.0\r\nHost: example.com\r\n\r\n"},
		{name: "version 0.9", status: 505, method: "GET", target: "/", raw: "GET / HTTP/0.9\r\nHost: example.com\r\n\r\n"},
	}...)
}

// limitedStatusCases are those of limited messages, and of taking messages back.
func limitedStatusCases(w *testServer, t testing.TB) []statusCase {
	create := func(body string) (path, token string) {
		t.Helper()
		a := w.ask("POST", "/", fields("Host", "example.com"), strings.NewReader(body))
		var created api.Created
		if err := json.Unmarshal([]byte(a.body), &created); err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("POST %s: %d %s", body, a.StatusCode, a.body)
		}
		return "/msg/" + created.MessageID, "Bearer " + created.OwnerToken
	}
	_, hash := proofOf("p")
	fresh, token := create(`{"message":"hello","reads":100}`)
	locked, _ := create(`{"message":"hello","reads":1,"proof_hash":"` + hash + `"}`)
	withdrawn, owner := create(`{"message":"hello"}`)
	spent, late := create(`{"message":"hello","reads":1}`)
	if a := w.ask("POST", spent, fields("Host", "example.com"), nil); a.StatusCode != http.StatusOK {
		t.Fatalf("POST: %d %s", a.StatusCode, a.body)
	}
	unknown := "/msg/" + message.NewID().Reveal()
	asText := fields("Accept", typeText)
	bearer := func(token string) http.Header { return fields("Authorization", token) }
	unavailable, broken := func() error { return message.ErrUnavailable }, func() error { return errBroken }
	return []statusCase{
		{name: "state", status: 200, method: "GET", target: fresh},
		{name: "state without body", status: 200, method: "HEAD", target: fresh},
		{name: "state as text", status: 406, method: "GET", target: fresh, header: asText},
		{name: "opening", status: 200, method: "POST", target: fresh, header: fields("Content-Type", typeJSON), body: strings.NewReader(`{"claim":"` + claimA + `"}`)},
		{name: "opening again", status: 200, method: "POST", target: fresh, header: fields("Content-Type", typeJSON), body: strings.NewReader(`{"claim":"` + claimA + `"}`)},
		{name: "opening as text", status: 200, method: "POST", target: fresh, header: asText},
		{name: "bad opening", status: 400, method: "POST", target: fresh, header: fields("Content-Type", typeJSON), body: strings.NewReader(`{"claim":1}`), undocumented: true},
		{name: "wrong proof", status: 403, method: "POST", target: locked},
		{name: "unknown opening", status: 404, method: "POST", target: unknown},
		{name: "Accept for opening", status: 406, method: "POST", target: fresh, header: fields("Accept", "image/png")},
		{name: "opened out", status: 410, method: "GET", target: spent},
		{name: "opened out, as text", status: 410, method: "GET", target: spent, header: asText},
		{name: "opening what is opened out", status: 410, method: "POST", target: spent},
		{name: "large opening", status: 413, method: "POST", target: fresh, header: fields("Content-Type", typeJSON), body: endless{}},
		{name: "type of an opening", status: 415, method: "POST", target: fresh, header: fields("Content-Type", typeText), body: strings.NewReader("x"), undocumented: true},
		{name: "no reads left to open", status: 429, method: "POST", target: fresh, deny: "read"},
		{name: "store broken for opening", status: 500, method: "POST", target: fresh, fault: broken},
		{name: "store unavailable for opening", status: 503, method: "POST", target: fresh, fault: unavailable},
		{name: "newer message", status: 503, method: "GET", target: fresh, fault: func() error { return message.ErrNewer }},

		{name: "not Bearer", status: 401, method: "DELETE", target: fresh, header: bearer("Basic eDp5")},
		{name: "wrong token", status: 403, method: "DELETE", target: fresh, header: bearer("Bearer x")},
		{name: "unknown to take back", status: 404, method: "DELETE", target: unknown, header: bearer(token)},
		{name: "Accept for taking back", status: 406, method: "DELETE", target: fresh, header: fields("Authorization", token, "Accept", "image/png")},
		{name: "too late to take back", status: 410, method: "DELETE", target: spent, header: bearer(late)},
		{name: "no reads left to take back", status: 429, method: "DELETE", target: fresh, header: bearer(token), deny: "read"},
		{name: "store broken for taking back", status: 500, method: "DELETE", target: fresh, header: bearer(token), fault: broken},
		{name: "store unavailable for taking back", status: 503, method: "DELETE", target: fresh, header: bearer(token), fault: unavailable},
		{name: "taken back", status: 204, method: "DELETE", target: withdrawn, header: bearer(owner)},
		{name: "read after that", status: 410, method: "GET", target: withdrawn},
	}
}

// sendCase sends the request with a client, or as it is, and returns the one answer.
func (w *testServer) sendCase(t testing.TB, c *http.Client, e statusCase) answer {
	t.Helper()
	if e.fault != nil {
		w.store.failWith(e.fault)
		defer w.store.failWith(nil)
	}
	w.limiter.set(e.deny)
	defer w.limiter.set("")
	if e.raw == "" {
		return send(t, c, e.method, e.target, e.header, e.body)
	}
	// Before it has understood a request net/http does not know its method, so
	// even HEAD gets a body; the connection ends with it.
	answers := w.raw(t, e.raw)
	if len(answers) != 1 {
		t.Fatalf("got %s, want one answer", statuses(answers))
	}
	return answers[0]
}

// slow is a case of its own: it needs a server that does not wait long.
func slow(t testing.TB) (*testServer, statusCase) {
	w := newService(limits, "example.com").listen(t, func(s *http.Server) { s.ReadTimeout = 200 * time.Millisecond })
	never, end := io.Pipe()
	t.Cleanup(func() { _ = end.Close() })
	return w, statusCase{name: "slow body", status: 408, method: "POST", target: "/", header: fields("Content-Type", typeJSON), body: never}
}

// plainOnTLS asks in plain HTTP where TLS is spoken.
func plainOnTLS(t testing.TB, w *testServer) answer {
	t.Helper()
	plain := &testServer{service: w.service, address: w.address}
	c := plain.dial(t)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.com\r\nCookie: "+strings.Repeat("x", 4<<10)+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answers, err := readAll(bufio.NewReader(c))
	if err != nil || len(answers) != 1 {
		t.Fatalf("plain HTTP: got %d answers, %v, want 1", len(answers), err)
	}
	return answers[0]
}
