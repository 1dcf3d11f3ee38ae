// Package tlscert has a TLS profile and the sources of the certificates that it
// is used with, one file each. [SelfSigned] makes one in memory for development,
// [Files] reads an operator's own, and [ACME] orders them from a CA. The last two
// follow what the files hold, or renew; a handshake never waits for either.
//
// Every source answers a handshake through its GetCertificate method. Its
// Certificates method tells what it serves, for health checks and metrics.
//
// For a name that it does not know, GetCertificate returns neither a certificate
// nor an error. crypto/tls then sends the alert unrecognized_name (RFC 6066,
// section 3), as long as the configuration holds no Certificates of its own.
// [Config] makes such a configuration.
package tlscert

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"time"
)

// Info tells about one certificate that a source serves, or is to serve.
type Info struct {
	// Source is where it comes from, for people: the certificate's file, the
	// host that ACME orders it for, or "self-signed".
	Source string
	// Names are the DNS names and IP addresses that it is valid for.
	Names []string
	// Issuer is the distinguished name of its signer (RFC 4514). Where there is no
	// certificate yet it is the directory URL of the CA that it is ordered from.
	Issuer string
	// NotAfter is when it expires. It is zero where there is no certificate yet.
	NotAfter time.Time
	// Warning is why many clients refuse it although it is valid; empty for none.
	Warning string
	// Err is why it could not be replaced when that was last tried, or nil.
	// The certificate described here is served all the same.
	Err error
}

// DaysLeft returns the whole days until the certificate expires, rounded down:
// 0 on its last day, negative from the moment of expiry on.
func (i Info) DaysLeft(now time.Time) int {
	return int(math.Floor(i.NotAfter.Sub(now).Hours() / 24))
}

// Fingerprint returns the SHA-256 of the certificate as browsers and `openssl
// x509 -fingerprint -sha256` show it: upper-case hexadecimal with colons.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// Pin returns the SHA-256 of the certificate's public key (RFC 7469, section
// 2.4) in the form that curl's --pinnedpubkey takes: sha256//BASE64. Unlike a
// fingerprint it stays the same over a renewal that keeps the key.
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
}

// describe returns what cert itself tells.
func describe(source string, cert *x509.Certificate) Info {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return Info{Source: source, Names: names, Issuer: cert.Issuer.String(), NotAfter: cert.NotAfter}
}

// serverName returns the name that the client asked for, in lower case.
func serverName(hello *tls.ClientHelloInfo) string { return strings.ToLower(hello.ServerName) }

// covers reports whether a client that asks for host accepts cert as the host's.
func covers(cert *tls.Certificate, host string) bool { return cert.Leaf.VerifyHostname(host) == nil }
