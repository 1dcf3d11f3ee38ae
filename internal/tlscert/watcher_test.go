package tlscert

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRefusal(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   string // empty: no refusal
	}{
		{200, `{"status":"valid"}`, ""},
		{200, "-----BEGIN CERTIFICATE-----", ""},
		{200, `{"status":"pending","challenges":[{"type":"http-01","status":"pending"}]}`, ""},
		{200, `{"status":"invalid","challenges":[{"type":"dns-01"},{"type":"http-01","error":{"type":"urn:ietf:params:acme:error:connection","detail":"timeout"}}]}`, "http-01 failed: connection: timeout"},
		{200, `{"status":"invalid","error":{"type":"urn:ietf:params:acme:error:caa","detail":"forbidden"}}`, "the CA refuses the order: caa: forbidden"},
		{400, `{"type":"urn:ietf:params:acme:error:badNonce","detail":"stale"}`, ""},
		{429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`, "the CA refuses: rateLimited: too many"},
		{403, `{"detail":"no"}`, "the CA refuses: no"},
		{502, "<html>", "the CA answers with status 502"},
		{500, "", "the CA answers with status 500"},
	} {
		got := ""
		if err := refusal(tt.status, []byte(tt.body)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("refusal(%d, %s): got %q, want %q", tt.status, tt.body, got, tt.want)
		}
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add(200, []byte(`{"challenges":[{"type":"http-01","error":{"type":"x","detail":"y"}}]}`))
	f.Add(400, []byte(`{"type":"urn:ietf:params:acme:error:badNonce"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := refusal(status, body)
		if err == nil && status >= 400 && !strings.Contains(strings.ToLower(string(body)), "nonce") {
			t.Errorf("refusal(%d, %q) is nil", status, body)
		}
	})
}

func TestRepeatIn(t *testing.T) {
	for _, tt := range []struct {
		n, status  int
		retryAfter string
		want       time.Duration
	}{
		{1, 400, "", 10 * time.Millisecond}, // a stale nonce
		{10, 400, "", 10 * time.Millisecond},
		{11, 400, "", 0},
		{1, 503, "", time.Second},
		{3, 503, "", 4 * time.Second},
		{4, 503, "", 0},
		{1, 429, "3600", 0},
		{1, 503, "1", 0},
	} {
		resp := &http.Response{StatusCode: tt.status, Header: http.Header{}}
		if tt.retryAfter != "" {
			resp.Header.Set("Retry-After", tt.retryAfter)
		}
		if got := repeatIn(tt.n, nil, resp); got != tt.want {
			t.Errorf("repetition %d after status %d, Retry-After %q: got %v, want %v", tt.n, tt.status, tt.retryAfter, got, tt.want)
		}
	}
}

func TestShortenWait(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		status      int
		asked, want string
	}{
		{200, "", ""},
		{200, "3", "3"},
		{200, "600", "5"},
		{200, "99999999999999999999", "5"},
		{200, "soon", "5"},
		{200, "Tue, 24 Nov 2026 12:00:02 GMT", "Tue, 24 Nov 2026 12:00:02 GMT"},
		{200, "Tue, 24 Nov 2026 11:00:00 GMT", "Tue, 24 Nov 2026 11:00:00 GMT"},
		{200, "Tue, 24 Nov 2026 12:01:00 GMT", "5"},
		{503, "600", "600"}, // nobody waits for that: see repeatIn
	} {
		resp := &http.Response{StatusCode: tt.status, Header: http.Header{}}
		if tt.asked != "" {
			resp.Header.Set("Retry-After", tt.asked)
		}
		shortenWait(resp, now)
		if got := resp.Header.Get("Retry-After"); got != tt.want {
			t.Errorf("status %d, Retry-After %q: got %q, want %q", tt.status, tt.asked, got, tt.want)
		}
	}
}
