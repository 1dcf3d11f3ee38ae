package tlscert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestInvalid(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"status":"valid"}`, ""},
		{"-----BEGIN CERTIFICATE-----", ""},
		{`{"status":"pending","challenges":[{"type":"http-01","status":"pending"}]}`, ""},
		{`{"status":"invalid","challenges":[{"type":"dns-01"},{"type":"http-01","error":{"type":"urn:ietf:params:acme:error:connection","detail":"timeout"}}]}`, "http-01 failed: connection: timeout"},
		{`{"status":"invalid","error":{"type":"urn:ietf:params:acme:error:caa","detail":"forbidden"}}`, "the CA refuses the order: caa: forbidden"},
		{`{"status":"invalid"}`, ""},
		{`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`, ""}, // autocert tells
		{"<html>", ""},
	} {
		if got := invalid([]byte(tt.body)); got != tt.want {
			t.Errorf("invalid(%s): got %q, want %q", tt.body, got, tt.want)
		}
	}
}

func FuzzInvalid(f *testing.F) {
	f.Add([]byte(`{"status":"invalid","challenges":[{"type":"http-01","error":{"type":"x","detail":"y"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got := invalid(body); got != "" && !strings.Contains(string(body), "inv") && !strings.Contains(string(body), `\u`) {
			t.Errorf("invalid(%q): got %q", body, got)
		}
	})
}

func TestBackoff(t *testing.T) {
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
		if got := backoff(tt.n, nil, resp); got != tt.want {
			t.Errorf("repetition %d after status %d, Retry-After %q: got %v, want %v", tt.n, tt.status, tt.retryAfter, got, tt.want)
		}
	}
}

// autocert does not notice a stop while it waits, so the CA cannot make it wait for long.
func TestTransportShortensWaits(t *testing.T) {
	for _, tt := range []struct {
		status      int
		asked, want string
	}{
		{200, "", ""},
		{200, "3", "3"},
		{200, "600", "5"},
		{200, "99999999999999999999", "5"},
		{200, "Tue, 24 Nov 2026 12:01:00 GMT", "5"},
		{503, "600", "600"}, // backoff gives up
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.asked != "" {
				w.Header().Set("Retry-After", tt.asked)
			}
			w.WriteHeader(tt.status)
		}))
		resp, err := (&http.Client{Transport: &transport{base: http.DefaultTransport, ctx: t.Context()}}).Get(server.URL)
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if got := resp.Header.Get("Retry-After"); got != tt.want {
			t.Errorf("status %d, Retry-After %q: got %q, want %q", tt.status, tt.asked, got, tt.want)
		}
	}
}

// An undecidedCA is a CA that never decides about an order. It refuses many of them.
type undecidedCA struct{ orders int }

func (c *undecidedCA) RoundTrip(r *http.Request) (*http.Response, error) {
	const ca = "https://ca.example"
	w := httptest.NewRecorder()
	w.Header().Set("Replay-Nonce", "nonce")
	switch r.URL.Path {
	case "/directory":
		_, _ = fmt.Fprintf(w, `{"newNonce":"%s/nonce","newAccount":"%[1]s/account","newOrder":"%[1]s/order"}`, ca)
	case "/account":
		w.Header().Set("Location", ca+"/account/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"status":"valid"}`)
	case "/order":
		if c.orders++; c.orders > 9 {
			w.WriteHeader(http.StatusForbidden)
			break
		}
		w.Header().Set("Location", ca+"/order/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"status":"pending","authorizations":["%s/authorization"]}`, ca)
	case "/order/1":
		_, _ = io.WriteString(w, `{"status":"pending"}`)
	case "/authorization":
		_, _ = io.WriteString(w, `{"status":"valid"}`)
	}
	return w.Result(), nil
}

// An order ends, so that it does not delay the orders of other hosts without a bound.
func TestOrderEndsWithoutADecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := NewACME(ACMEConfig{Hosts: []string{"a.example"}, CacheDir: t.TempDir(), Directory: "https://ca.example/directory"}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ca := new(undecidedCA)
		a.base = &http.Transport{TLSNextProto: make(map[string]func(string, *tls.Conn) http.RoundTripper)}
		a.base.RegisterProtocol("https", ca)
		start := time.Now()
		cert, err := a.order(t.Context(), "a.example")
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || cert != nil || took > 6*time.Minute || ca.orders != 1 {
			t.Errorf("got %v and %d orders in %v, want the end of the time of one order", err, ca.orders, took)
		}
	})
}
