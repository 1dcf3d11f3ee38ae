package tlscert

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// order gets a new certificate for host. Each order has an autocert of its own: one
// that failed refuses to retry for a minute. autocert also starts a timer for the
// renewal, and has no way to stop it; that finds the connection to the CA closed,
// since Run renews.
func (a *ACME) order(ctx context.Context, host string) (*tls.Certificate, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ca := &transport{base: a.base, ctx: ctx}
	client := &acme.Client{
		Key:          a.key,
		DirectoryURL: a.config.Directory,
		HTTPClient:   &http.Client{Transport: ca},
		RetryBackoff: backoff,
		UserAgent:    "messaging_api",
	}
	m := &autocert.Manager{
		Prompt:                 autocert.AcceptTOS,
		Cache:                  a.cache,
		HostPolicy:             autocert.HostWhitelist(host),
		Email:                  a.config.Email,
		ExternalAccountBinding: a.eab,
		Client:                 client,
	}
	if a.http01 {
		m.HTTPHandler(nil) // try HTTP-01 too; the answers go through the cache
	}
	cert, err := m.GetCertificate(&tls.ClientHelloInfo{
		ServerName: host,
		// A handshake that offers this gets an ECDSA certificate.
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
	a.key = client.Key // a renewal does not need the cache
	if reason := ca.reason.Load(); err != nil && reason != nil {
		err = fmt.Errorf("%w: %s", err, *reason) // autocert says only that no challenge is left to try
	}
	return cert, err
}

// backoff returns when to repeat a request to the CA for the nth time, or 0 to
// give up. An order that waits as long as the CA asks for does not show why; one that
// fails does, and is retried later.
func backoff(n int, _ *http.Request, resp *http.Response) time.Duration {
	switch {
	case resp.StatusCode == http.StatusBadRequest && n <= 10:
		return 10 * time.Millisecond // a stale nonce (RFC 8555, section 6.5): the next one is here already
	case resp.StatusCode == http.StatusBadRequest, n > 3, resp.Header.Get("Retry-After") != "":
		return 0
	}
	return time.Second << (n - 1)
}

// A transport connects to the CA for one order. It closes when ctx is done, for
// autocert takes no context, and it remembers why the CA found a challenge or the
// order invalid, which autocert does not tell.
type transport struct {
	base   http.RoundTripper
	ctx    context.Context
	reason atomic.Pointer[string] // nil: none so far
}

const (
	maxAnswer   = 1 << 20 // bytes: more than any answer of ACME, certificate chains included
	maxPollWait = 5       // seconds between two looks at an order
)

// RoundTrip makes the request and reads the whole answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err // the order's time is over; without this, autocert would place one order after the other
	}
	ctx, cancel := context.WithTimeout(t.ctx, 30*time.Second)
	defer cancel()
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func(body io.Closer) { _ = body.Close() }(resp.Body)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	// autocert waits as long as the CA asks to, and a stop would wait too.
	wait := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(wait); wait != "" && resp.StatusCode < 400 && (err != nil || seconds > maxPollWait) {
		resp.Header.Set("Retry-After", strconv.Itoa(maxPollWait))
	}
	if reason := invalid(body); reason != "" {
		t.reason.Store(&reason)
	}
	return resp, nil
}

// problem is why the CA finds something invalid (RFC 7807; RFC 8555, section 6.7).
type problem struct{ Type, Detail string }

func (p problem) String() string {
	return strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:") + ": " + p.Detail
}

// invalid returns why an authorization or an order is invalid (RFC 8555, sections
// 7.1.4 and 7.1.3). It is empty if body describes neither.
func invalid(body []byte) string {
	var answer struct {
		Status     string
		Error      *problem
		Challenges []struct {
			Type  string
			Error *problem
		}
	}
	if json.Unmarshal(body, &answer) != nil || answer.Status != "invalid" {
		return "" // a certificate chain, for one
	}
	for _, c := range answer.Challenges {
		if c.Error != nil {
			return c.Type + " failed: " + c.Error.String()
		}
	}
	if answer.Error != nil {
		return "the CA refuses the order: " + answer.Error.String()
	}
	return ""
}
