package tlscert

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// issuer places orders with the CA.
type issuer struct {
	directory string
	email     string
	eab       *acme.ExternalAccountBinding // nil: none
	cache     *fallbackCache
	base      *http.Transport // to the CA
	http01    bool            // set before the first order

	newAccount sync.Mutex // held by the order that makes the account, so that only one is made
}

func newIssuer(c ACMEConfig, cache *fallbackCache) (*issuer, error) {
	i := &issuer{directory: c.Directory, email: c.Email, cache: cache, base: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}}
	if i.directory == "" {
		i.directory = autocert.DefaultACMEDirectory
	}
	if u, err := url.Parse(i.directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("ACME directory %q: not an https URL", i.directory)
	}
	var err error
	if c.CAFile != "" {
		if i.base.TLSClientConfig.RootCAs, err = ReadPool(c.CAFile); err != nil {
			return nil, fmt.Errorf("ACME CA file: %w", err)
		}
	}
	if i.eab, err = binding(c.EABKeyID, c.EABKeyFile); err != nil {
		return nil, fmt.Errorf("ACME external account binding: %w", err)
	}
	return i, nil
}

// order gets a new certificate for host. When ctx is done the CA is no longer
// talked to. Each order has an autocert of its own: one that failed refuses to
// retry for a minute. autocert also starts a timer for the renewal, and has no
// way to stop it; that finds the way to the CA closed, since keep renews.
func (i *issuer) order(ctx context.Context, host string) (*tls.Certificate, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	i.newAccount.Lock()
	if _, err := i.cache.load(ctx, accountName); errors.Is(err, autocert.ErrCacheMiss) {
		defer i.newAccount.Unlock()
	} else {
		i.newAccount.Unlock()
	}
	ca := &transport{base: i.base, ctx: ctx}
	m := &autocert.Manager{
		Prompt:                 autocert.AcceptTOS,
		Cache:                  i.cache,
		HostPolicy:             autocert.HostWhitelist(host),
		Email:                  i.email,
		ExternalAccountBinding: i.eab,
		Client: &acme.Client{
			DirectoryURL: i.directory,
			HTTPClient:   &http.Client{Transport: ca, Timeout: 30 * time.Second},
			RetryBackoff: backoff,
			UserAgent:    "messaging_api",
		},
	}
	if i.http01 {
		m.HTTPHandler(nil) // try HTTP-01 too; the answers go through the cache
	}
	cert, err := m.GetCertificate(&tls.ClientHelloInfo{
		ServerName: host,
		// A handshake that offers this gets an ECDSA certificate.
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
	if err != nil {
		// autocert says only that no challenge is left to try.
		if reason := ca.failure(); reason != nil {
			err = fmt.Errorf("%w: %w", err, reason)
		}
		return nil, err
	}
	return cert, nil
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

// binding returns the external account binding, nil where there is none.
func binding(keyID, file string) (*acme.ExternalAccountBinding, error) {
	switch {
	case keyID == "" && file == "":
		return nil, nil
	case keyID == "" || file == "":
		return nil, errors.New("needs both a key id and a key file")
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	// CAs give it in base64url; some pad it.
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(string(text)), "="))
	if err != nil || len(key) == 0 {
		return nil, fmt.Errorf("%s: holds no base64url key", file)
	}
	return &acme.ExternalAccountBinding{KID: keyID, Key: key}, nil
}
