package tlscert

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// issuer places orders with the CA.
type issuer struct {
	directory string
	email     string
	account   crypto.Signer
	eab       *acme.ExternalAccountBinding // nil: none
	cache     *tier
	transport *http.Transport
	http01    bool // set before the first order
}

// attempt is one try at an order, and after it succeeded what renews the
// certificate. Each has an autocert of its own: one that has failed refuses for
// a minute to try again, and nothing else is to be seen of why it failed than
// what passes through its client.
type attempt struct {
	manager *autocert.Manager
	http    http.Handler // HTTP-01 challenges
	ca      *watcher
}

func newIssuer(c ACMEConfig, cache *tier) (*issuer, error) {
	i := &issuer{directory: c.Directory, email: c.Email, cache: cache}
	if i.directory == "" {
		i.directory = autocert.DefaultACMEDirectory
	}
	if u, err := url.Parse(i.directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("ACME directory %q: not an https URL", i.directory)
	}
	var err error
	if i.transport, err = transport(c.CAFile); err != nil {
		return nil, fmt.Errorf("ACME CA file: %w", err)
	}
	if i.eab, err = binding(c.EABKeyID, c.EABKeyFile); err != nil {
		return nil, fmt.Errorf("ACME external account binding: %w", err)
	}
	if i.account, err = accountKey(cache); err != nil {
		return nil, fmt.Errorf("ACME account key: %w", err)
	}
	return i, nil
}

// order gets a certificate for h's host, from the cache if there is a good one.
// When ctx is done the CA is no longer talked to, by renewals neither.
func (i *issuer) order(ctx context.Context, h *holding) (*tls.Certificate, error) {
	a := i.attempt(ctx, h.host)
	h.attempt.Store(a)
	// What a handshake would have to offer to cause an order for ECDSA.
	cert, err := a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:   h.host,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
	if err != nil {
		// Of a failed validation autocert says only that no challenge is left.
		var v *validationError
		if _, reason := a.ca.failure(); errors.As(reason, &v) {
			err = fmt.Errorf("%w: %w", err, v)
		}
		return nil, err
	}
	return cert, nil
}

func (i *issuer) attempt(ctx context.Context, host string) *attempt {
	ca := &watcher{base: i.transport, open: ctx}
	m := &autocert.Manager{
		Prompt:                 autocert.AcceptTOS,
		Cache:                  i.cache,
		HostPolicy:             autocert.HostWhitelist(host),
		Email:                  i.email,
		ExternalAccountBinding: i.eab,
		Client: &acme.Client{
			Key:          i.account,
			DirectoryURL: i.directory,
			HTTPClient:   &http.Client{Transport: ca, Timeout: 30 * time.Second},
			RetryBackoff: repeatIn,
			UserAgent:    "messaging_api",
		},
	}
	a := &attempt{manager: m, ca: ca, http: http.NotFoundHandler()}
	if i.http01 {
		a.http = m.HTTPHandler(http.NotFoundHandler())
	}
	return a
}

// repeatIn returns when the nth repetition of a request to the CA should follow,
// or 0 to give up: an order that hangs on for hours, as the CA may ask for, says
// nothing of what it waits for; one that fails does, and comes again later.
func repeatIn(n int, _ *http.Request, resp *http.Response) time.Duration {
	if resp.StatusCode == http.StatusBadRequest {
		// A nonce that has become stale (RFC 8555, section 6.5): the next one
		// is in hand already.
		if n > 10 {
			return 0
		}
		return 10 * time.Millisecond
	}
	if n > 3 || resp.Header.Get("Retry-After") != "" {
		return 0
	}
	return time.Second << (n - 1)
}

// accountKey returns the key of the account with the CA, made when there is none.
func accountKey(cache *tier) (crypto.Signer, error) {
	const name = "acme_account+key" // autocert's own name for it
	ctx := context.Background()
	data, err := cache.Get(ctx, name)
	if errors.Is(err, autocert.ErrCacheMiss) {
		return newAccountKey(ctx, cache, name)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", name)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

func newAccountKey(ctx context.Context, cache *tier, name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, cache.Put(ctx, name, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
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

// transport returns the way to the CA.
func transport(caFile string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if caFile == "" {
		return t, nil
	}
	data, err := os.ReadFile(caFile) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: holds no certificate in PEM form", caFile)
	}
	t.TLSClientConfig.RootCAs = roots
	return t, nil
}
