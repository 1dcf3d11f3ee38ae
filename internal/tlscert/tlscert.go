// Package tlscert has a TLS profile and the sources of its certificates.
// [SelfSigned] makes one in memory for development, [Files] reads an operator's
// own, and [ACME] orders them from a CA. A handshake only looks into memory.
//
// GetCertificate of each source returns neither a certificate nor an error for a
// name that it does not know. crypto/tls then sends the alert unrecognized_name
// (RFC 6066, section 3), if the configuration has no Certificates: see [Config].
package tlscert

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Info describes one certificate that a source serves, or is to serve.
type Info struct {
	// Source is the certificate's file, the host that ACME orders it for, or
	// "self-signed".
	Source string
	// Names are the DNS names and IP addresses that it is valid for.
	Names []string
	// Issuer is the distinguished name of its signer (RFC 4514), or the CA's
	// directory URL while there is no certificate.
	Issuer string
	// NotAfter is when it expires; zero while there is no certificate.
	NotAfter time.Time
	// Warning is why many clients refuse it although it is valid; empty for none.
	Warning string
	// Err is why it could not be replaced when that was last tried, or nil. The
	// certificate is served all the same.
	Err error
}

// DaysLeft returns the whole days until the certificate expires, rounded down:
// 0 on its last day, negative from the moment of expiry on.
func (i Info) DaysLeft(now time.Time) int {
	return int(math.Floor(i.NotAfter.Sub(now).Hours() / 24))
}

// served is a certificate that a source serves.
type served struct {
	cert    *tls.Certificate // nil: none yet
	warning string           // why many clients refuse it
	err     error            // why it could not be replaced when that was last tried
}

// names returns the DNS names and IP addresses that the certificate is valid for.
func (s served) names() []string {
	names := slices.Clone(s.cert.Leaf.DNSNames)
	for _, ip := range s.cert.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func (s served) info(source string) Info {
	leaf := s.cert.Leaf
	return Info{Source: source, Names: s.names(), Issuer: leaf.Issuer.String(), NotAfter: leaf.NotAfter, Warning: s.warning, Err: s.err}
}

// covers reports whether a client that asks for host accepts the certificate as the host's.
func (s served) covers(host string) bool { return s.cert.Leaf.VerifyHostname(host) == nil }

// Config returns the service's TLS profile: Mozilla's intermediate one, which is
// TLS 1.3, and TLS 1.2 with forward secrecy and authenticated encryption only.
// minVersion is tls.VersionTLS12 or tls.VersionTLS13. The caller may add to the
// result but sets no Certificates: see the package comment.
func Config(minVersion uint16, getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     minVersion,
		GetCertificate: getCertificate,
		// Go's default list still has the CBC suites of TLS 1.2, which no current
		// client needs. Go ignores the order, and all suites of TLS 1.3 are good.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// CurvePreferences stay nil: the default prefers the post-quantum
		// X25519MLKEM768, and a list would exclude its successors.
		NextProtos: []string{"h2", "http/1.1"},
	}
}

// Fingerprint returns the SHA-256 of the certificate as browsers and `openssl
// x509 -fingerprint -sha256` show it: upper-case hexadecimal with colons.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// Pin returns the SHA-256 of the certificate's public key (RFC 7469, section
// 2.4) in the form that curl's --pinnedpubkey takes: sha256//BASE64.
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
}

// serverName returns the name that the client asks for, in lower case.
func serverName(hello *tls.ClientHelloInfo) string { return strings.ToLower(hello.ServerName) }
