package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// A target is the service under test.
type target struct {
	base  string
	roots *x509.CertPool
}

// client returns a client of its own connections: HTTP/2 over one that is kept,
// or, if once, HTTP/1.1 over a new one for each request.
func (t target) client(once bool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: t.roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: !once,
		DisableKeepAlives: once,
	}
	return &http.Client{
		Transport: transport,
		Timeout:   20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// do sends one request and decodes the answer if it is a 200. connected tells
// whether the last attempt had a connection, TLS included: the client repeats by
// itself what a server that shuts down has declared untouched.
func (t target) do(ctx context.Context, client *http.Client, method, path string, body io.Reader, answer any) (status int, connected bool, err error) {
	var got atomic.Bool
	defer func() { connected = got.Load() }()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { got.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	})
	request, err := http.NewRequestWithContext(ctx, method, t.base+path, body)
	if err != nil {
		return 0, false, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, false, err
	}
	defer response.Body.Close() //nolint:errcheck // the body's own errors come while reading
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, false, err
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, answer); err != nil {
			return 0, false, fmt.Errorf("answer to %s: %w", method, err)
		}
	}
	return response.StatusCode, false, nil
}
