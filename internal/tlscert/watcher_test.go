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
