package tlscert

import (
	"context"
	"crypto/tls"
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
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEProtocol is the application protocol of TLS-ALPN-01 challenges (RFC 8737).
// The configuration that an [ACME] is used with has to offer it, last.
const ACMEProtocol = acme.ALPNProto

// challengePath is where HTTP-01 challenges are looked for (RFC 8555, section 8.3).
const challengePath = "/.well-known/acme-challenge/"

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
	hosts     []string
	certs     map[string]*hostCertificate // by host; the map does not change
	issuer    *issuer
	cache     *fallbackCache
	cacheDir  string
	responder *autocert.Manager // answers challenges, whichever replica set them
	log       *slog.Logger
}

// NewACME reads the configuration and the certificates in the cache. It changes
// nothing and orders nothing; the next steps are Prepare and Run. An error says
// what in the configuration is wrong.
func NewACME(c ACMEConfig, log *slog.Logger) (*ACME, error) {
	a := &ACME{hosts: c.Hosts, certs: make(map[string]*hostCertificate), cacheDir: c.CacheDir, log: log}
	if len(a.hosts) == 0 {
		return nil, errors.New("tlscert: ACME needs at least one host to order a certificate for")
	}
	for _, host := range a.hosts {
		if !orderable(host) {
			return nil, fmt.Errorf("tlscert: no certificate for %q can be ordered with ACME: it is not a public DNS name", host)
		}
	}
	a.cache = newFallbackCache(autocert.DirCache(filepath.Clean(c.CacheDir)))
	a.responder = &autocert.Manager{Cache: a.cache, HostPolicy: autocert.HostWhitelist(a.hosts...)}
	var err error
	if a.issuer, err = newIssuer(c, a.cache); err != nil {
		return nil, fmt.Errorf("tlscert: %w", err)
	}
	for _, host := range a.hosts {
		h := newHostCertificate(host)
		if cert, err := a.cached(context.Background(), host); err == nil { // otherwise Run orders it, and tells of errors
			h.current.Store(cert)
		}
		a.certs[host] = h
	}
	return a, nil
}

// orderable reports whether host can be a public DNS name: it has a dot, has no
// wildcard and no underscore, and is no address.
func orderable(host string) bool {
	_, err := netip.ParseAddr(host)
	rest := strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.")
	return err != nil && rest == "" && strings.Contains(host, ".")
}

// Prepare makes the cache directory, with mode 0700, where it does not exist, and
// fails if it cannot be written. It warns if others than the service can look
// into the directory, which holds private keys.
func (a *ACME) Prepare() error {
	if err := os.MkdirAll(a.cacheDir, 0o700); err != nil {
		return fmt.Errorf("tlscert: ACME cache: %w", err)
	}
	probe, err := os.CreateTemp(a.cacheDir, ".probe-")
	if err != nil {
		return fmt.Errorf("tlscert: ACME cache: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("tlscert: ACME cache: %w", err)
	}
	if info, err := os.Stat(a.cacheDir); err == nil && info.Mode().Perm()&0o077 != 0 {
		a.log.Warn("the ACME cache directory is open to others", "directory", a.cacheDir, "mode", info.Mode().Perm().String())
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
	if cert := h.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("tlscert: there is no certificate for %s yet", h.host)
}

// HTTPHandler answers HTTP-01 challenges for the hosts on plain HTTP and passes
// every other request to fallback. Without it only TLS-ALPN-01 is tried; so it
// has to be called before Run.
func (a *ACME) HTTPHandler(fallback http.Handler) http.Handler {
	a.issuer.http01 = true
	challenges := a.responder.HTTPHandler(http.NotFoundHandler())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The CA may ask at another port, which autocert would take for a part of the host.
		h := a.certs[strings.ToLower((&url.URL{Host: r.Host}).Hostname())]
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		if h == nil || !read || !strings.HasPrefix(r.URL.Path, challengePath) {
			fallback.ServeHTTP(w, r)
			return
		}
		r = r.WithContext(r.Context())
		r.Host = h.host
		challenges.ServeHTTP(w, r)
	})
}

// Run orders and renews until ctx is done, which cuts the connections to the CA.
// It returns within seconds, once the orders under way have noticed.
func (a *ACME) Run(ctx context.Context) {
	defer a.issuer.base.CloseIdleConnections()
	var work sync.WaitGroup
	for _, h := range a.certs {
		work.Go(func() {
			h.keep(ctx, a.log, func() (*tls.Certificate, error) { return a.obtain(ctx, h) })
		})
	}
	work.Go(func() { a.cache.keepSaved(ctx, a.log) })
	work.Wait()
}

// obtain returns a certificate that is not due for renewal: one that another
// replica has put into the cache, or a new one.
func (a *ACME) obtain(ctx context.Context, h *hostCertificate) (*tls.Certificate, error) {
	cert, err := a.cached(ctx, h.host)
	if err == nil && time.Now().Before(h.renewAt(cert)) {
		return cert, nil
	}
	if err != nil && !errors.Is(err, autocert.ErrCacheMiss) && h.current.Load() == nil {
		return nil, err // a good certificate may be there: do not order it again at each start
	}
	return a.issuer.order(ctx, h.host)
}

// cached returns a host's certificate from the cache. One that cannot be served
// is an autocert.ErrCacheMiss.
func (a *ACME) cached(ctx context.Context, host string) (*tls.Certificate, error) {
	data, err := a.cache.load(ctx, host)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(data, data) // it holds both, in PEM
	if err != nil || checkLeaf(cert.Leaf, time.Now()) != nil || !covers(&cert, host) {
		return nil, autocert.ErrCacheMiss
	}
	return &cert, nil
}

// Reload retries what failed, without any further wait, for the operator who has
// mended the cause.
func (a *ACME) Reload() {
	for _, h := range a.certs {
		h.retryNow()
	}
}

// Certificates returns one Info a host, in their order.
func (a *ACME) Certificates() []Info {
	infos := make([]Info, len(a.hosts))
	for i, host := range a.hosts {
		infos[i] = a.certs[host].info()
		if infos[i].NotAfter.IsZero() {
			infos[i].Issuer = a.issuer.directory
		}
		if infos[i].Err == nil {
			infos[i].Err = a.cache.problem()
		}
	}
	return infos
}
