package tlscert

import (
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEProtocol is the application protocol of TLS-ALPN-01 challenges (RFC 8737).
// The configuration that an [ACME] is used with has to offer it, last.
const ACMEProtocol = acme.ALPNProto

// ACMEConfig says which certificates to order, and from which CA.
type ACMEConfig struct {
	// Hosts are the names to order certificates for, one each; at least one.
	// They are DNS names in lower case, each once.
	Hosts []string
	// CacheDir keeps the account and the certificates over a restart. Replicas may
	// share one.
	CacheDir string
	// Directory is the CA's directory URL; empty means Let's Encrypt.
	Directory string
	// Email is where the CA may write to; empty for none.
	Email string
	// CAFile holds the PEM certificates that the CA's own server is verified
	// against; empty for those of the system.
	CAFile string
	// EABKeyID and EABKeyFile bind the account to one that the operator has
	// with the CA (RFC 8555, section 7.3.4): the key's name, and a file with
	// the base64url key. Both or neither.
	EABKeyID, EABKeyFile string
}

// ACME is a source of certificates that it orders and renews by itself, through
// autocert, from a CA that speaks ACME (RFC 8555). A handshake never waits, as it
// would with autocert alone: it gets the current certificate, however long the
// CA or the cache are away.
//
// All certificates are ECDSA. Clients that cannot verify them are about as old as
// TLS 1.1; to serve them, one hello of an attacker would cause a second order.
type ACME struct {
	config    ACMEConfig
	certs     map[string]*hostCertificate // by host; the map does not change
	cache     *fallbackCache
	responder *autocert.Manager // answers challenges, whichever replica set them
	retry     chan struct{}     // holds a token if Run has to retry now
	log       *slog.Logger

	base   *http.Transport              // to the CA
	eab    *acme.ExternalAccountBinding // nil: none
	key    crypto.Signer                // of the account; nil until the first order has it
	http01 bool                         // set before the first order
}

// NewACME reads the configuration and the certificates in the cache. It changes
// nothing and orders nothing; the next steps are Prepare and Run. An error says
// what in the configuration is wrong.
func NewACME(c ACMEConfig, log *slog.Logger) (*ACME, error) {
	c.CacheDir = filepath.Clean(c.CacheDir)
	c.Directory = cmp.Or(c.Directory, autocert.DefaultACMEDirectory)
	if u, err := url.Parse(c.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("tlscert: ACME directory %q: not an https URL", c.Directory)
	}
	a := &ACME{
		config: c,
		certs:  make(map[string]*hostCertificate),
		cache:  &fallbackCache{dir: autocert.DirCache(c.CacheDir), log: log, unsaved: make(map[string][]byte)},
		retry:  make(chan struct{}, 1),
		log:    log,
		base:   http.DefaultTransport.(*http.Transport).Clone(),
	}
	a.responder = &autocert.Manager{Cache: a.cache, HostPolicy: autocert.HostWhitelist(c.Hosts...)}
	a.base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if c.CAFile != "" {
		if a.base.TLSClientConfig.RootCAs, err = ReadPool(c.CAFile); err != nil {
			return nil, fmt.Errorf("tlscert: ACME CA file: %w", err)
		}
	}
	if a.eab, err = binding(c.EABKeyID, c.EABKeyFile); err != nil {
		return nil, fmt.Errorf("tlscert: ACME external account binding: %w", err)
	}
	for _, host := range c.Hosts {
		if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") || strings.Contains(host, "_") {
			return nil, fmt.Errorf("tlscert: no certificate for %q can be ordered with ACME: it is not a public DNS name", host)
		}
		h := newHostCertificate(host)
		if cert, err := a.cached(context.Background(), host); err == nil { // otherwise Run orders it, and reports errors
			h.current.Store(&served{cert: cert})
		}
		a.certs[host] = h
	}
	return a, nil
}

// binding returns the external account binding, nil where there is none.
func binding(keyID, file string) (*acme.ExternalAccountBinding, error) {
	if (keyID == "") != (file == "") {
		return nil, errors.New("needs both a key id and a key file")
	}
	if file == "" {
		return nil, nil
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

// Prepare makes the cache directory, with mode 0700, where it does not exist, and
// fails if it cannot be written. It warns if others than the service can look
// into the directory, which holds private keys.
func (a *ACME) Prepare() error {
	ctx := context.Background()
	err := a.cache.dir.Put(ctx, "probe", nil)
	if err == nil {
		err = a.cache.dir.Delete(ctx, "probe")
	}
	if err != nil {
		return fmt.Errorf("tlscert: ACME cache: %w", err)
	}
	if info, err := os.Stat(a.config.CacheDir); err == nil && info.Mode().Perm()&0o077 != 0 {
		a.log.Warn("the ACME cache directory is open to others", "directory", a.config.CacheDir, "mode", info.Mode().Perm().String())
	}
	return nil
}

// GetCertificate is for [Config]. It knows the hosts only: other server names,
// challenges for them included, do not get to autocert, which would look for each
// in its cache.
func (a *ACME) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	h := a.certs[serverName(hello)]
	if h == nil {
		return nil, nil // the alert unrecognized_name
	}
	if slices.Equal(hello.SupportedProtos, []string{ACMEProtocol}) {
		return a.responder.GetCertificate(hello)
	}
	if cert := h.current.Load().cert; cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("tlscert: there is no certificate for %s yet", h.host)
}

// HTTPHandler answers HTTP-01 challenges for the hosts on plain HTTP and passes
// every other request to fallback. Without it only TLS-ALPN-01 is tried; so it
// has to be called before Run.
func (a *ACME) HTTPHandler(fallback http.Handler) http.Handler {
	a.http01 = true
	challenges := a.responder.HTTPHandler(fallback)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The CA may ask at another port, which autocert would take for a part of the host.
		h := a.certs[strings.ToLower((&url.URL{Host: r.Host}).Hostname())]
		if h == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
			fallback.ServeHTTP(w, r)
			return
		}
		r = r.WithContext(r.Context())
		r.Host = h.host
		challenges.ServeHTTP(w, r)
	})
}

// Reload retries what failed, without any further wait, for the operator who has
// mended the cause.
func (a *ACME) Reload() {
	select {
	case a.retry <- struct{}{}:
	default: // Run is about to
	}
}

// Certificates describes one certificate a host, in their order.
func (a *ACME) Certificates() []Info {
	infos := make([]Info, len(a.config.Hosts))
	for i, host := range a.config.Hosts {
		s := a.certs[host].current.Load()
		infos[i] = Info{Source: host, Names: []string{host}, Issuer: a.config.Directory, Err: s.err}
		if s.cert != nil {
			infos[i] = s.info(host)
		}
		if infos[i].Err == nil {
			infos[i].Err = a.cache.failure()
		}
	}
	return infos
}
