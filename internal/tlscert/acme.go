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
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

// ACMEProtocol is the application protocol of TLS-ALPN-01 challenges (RFC 8737).
// The configuration that an [ACME] is used with has to offer it, last.
const ACMEProtocol = acme.ALPNProto

// challengePath is where HTTP-01 challenges are looked for (RFC 8555, section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// ACMEConfig says which certificates to order, and of whom.
type ACMEConfig struct {
	// Hosts are the names to order certificates for, one each; at least one.
	// They are DNS names in lower case, each once.
	Hosts []string
	// CacheDir keeps the account and the certificates over a restart. It is
	// made with mode 0700 where it does not exist. Replicas may share one.
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

// ACME is a source of certificates that it orders by itself, from a CA that
// speaks ACME (RFC 8555), through autocert. It differs from autocert alone in
// that a handshake never waits: neither for the CA nor for the cache. It gets
// the certificate that is in hand, of which orders and renewals put a newer one
// in place, however long the CA or the cache are gone.
//
// All certificates are ECDSA. Clients that cannot verify them are older than
// TLS 1.2's authenticated suites, or close to it, and to serve them would let
// anybody cause a second order with one hello.
type ACME struct {
	hosts    []string
	holdings map[string]*holding // by host; the map does not change
	issuer   *issuer
	cache    *tier
	log      *slog.Logger
}

// NewACME prepares the cache directory and the account's key, and takes the
// certificates in hand that are in the cache. It orders nothing yet: Run does.
// An error says what in the configuration is wrong.
func NewACME(c ACMEConfig, log *slog.Logger) (*ACME, error) {
	a := &ACME{hosts: c.Hosts, holdings: make(map[string]*holding), log: log}
	if len(a.hosts) == 0 {
		return nil, errors.New("tlscert: ACME needs at least one host to order a certificate for")
	}
	for _, host := range a.hosts {
		if !orderable(host) {
			return nil, fmt.Errorf("tlscert: no certificate for %q can be ordered with ACME: it is not a public DNS name", host)
		}
		a.holdings[host] = newHolding(host)
	}
	dir, err := cacheDir(c.CacheDir, log)
	if err != nil {
		return nil, fmt.Errorf("tlscert: ACME cache: %w", err)
	}
	a.cache = newTier(dir, a.deliver)
	a.issuer, err = newIssuer(c, a.cache)
	if err != nil {
		return nil, fmt.Errorf("tlscert: %w", err)
	}
	for _, host := range a.hosts {
		// To have what is there in hand from the start. What is not is ordered.
		_, _ = a.cache.Get(context.Background(), host)
	}
	return a, nil
}

// orderable reports whether host can be a public DNS name: it has a dot, is
// ASCII without a wildcard or an underscore, and is no address.
func orderable(host string) bool {
	_, err := netip.ParseAddr(host)
	name := strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.")
	return err != nil && name == "" && strings.Contains(host, ".")
}

// GetCertificate is for [Config]. It knows the hosts and nothing else: neither
// an absent server name nor a challenge for a foreign one gets to autocert,
// which would look for any of them in its cache.
func (a *ACME) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	h := a.holdings[serverName(hello)]
	if h == nil {
		return nil, nil // the alert unrecognized_name
	}
	if slices.Equal(hello.SupportedProtos, []string{ACMEProtocol}) {
		return h.challenge(hello)
	}
	if cert := h.cert.Load(); cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("tlscert: there is no certificate for %s yet", h.host)
}

// HTTPHandler answers HTTP-01 challenges for the hosts on the plain-text
// listener and passes every other request to fallback. Without it only
// TLS-ALPN-01 is tried; so it has to be called before Run.
func (a *ACME) HTTPHandler(fallback http.Handler) http.Handler {
	a.issuer.http01 = true
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := a.holdings[strings.ToLower((&url.URL{Host: r.Host}).Hostname())] // the CA may ask at another port
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		if h == nil || !read || !strings.HasPrefix(r.URL.Path, challengePath) {
			fallback.ServeHTTP(w, r)
			return
		}
		h.challengeHTTP(w, r)
	})
}

// Run orders and renews until ctx is done, which cuts the connections to the CA.
// It returns once the orders that were under way have noticed, within seconds.
// (autocert's renewal timers stay, which it gives no way to stop; they find the
// CA cut off.)
func (a *ACME) Run(ctx context.Context) {
	defer a.issuer.transport.CloseIdleConnections()
	var hosts sync.WaitGroup
	for _, host := range a.hosts {
		h := a.holdings[host]
		hosts.Go(func() {
			h.keep(ctx, a.log, func() (*tls.Certificate, error) { return a.issuer.order(ctx, h) })
		})
	}
	hosts.Go(func() { a.cache.keepSaved(ctx, a.log) })
	hosts.Wait()
}

// Reload orders anew what failed, without waiting any longer, for the operator
// who has mended what was wrong.
func (a *ACME) Reload() {
	for _, host := range a.hosts {
		a.holdings[host].hurry()
	}
}

// Certificates returns one Info a host, in their order.
func (a *ACME) Certificates() []Info {
	now := time.Now()
	infos := make([]Info, len(a.hosts))
	for i, host := range a.hosts {
		infos[i] = a.holdings[host].info(now)
		if infos[i].Err == nil {
			infos[i].Err = a.cache.trouble()
		}
	}
	return infos
}

// deliver puts a certificate in hand that passed through the cache: ordered here,
// or by another replica that shares it.
func (a *ACME) deliver(key string, data []byte) {
	h := a.holdings[key]
	if h == nil {
		return // a challenge, or the account's key
	}
	cert, err := tls.X509KeyPair(data, data) // it holds both, in PEM
	if err != nil || !h.take(&cert, time.Now()) {
		return // a file that somebody spoiled; autocert sees that too, and orders
	}
	a.log.Info("certificate obtained", "host", h.host, "expires", cert.Leaf.NotAfter)
}
