// Package tlscert is how the service proves its name: a TLS profile, and the
// sources of the certificates that it is used with, one file each. [SelfSigned]
// makes one in memory for development, [Files] reads an operator's own and
// [ACME] orders them of a CA. The last two run: they follow what the files hold,
// or renew, and a handshake never waits for either.
//
// Every source answers a handshake through its GetCertificate method and tells
// through Certificates what it serves, so that health and metrics see an
// expiry coming.
//
// A source answers only for names that it knows: GetCertificate returns neither
// a certificate nor an error for any other, which crypto/tls turns into the
// alert unrecognized_name (RFC 6066, section 3) as long as the configuration
// holds no Certificates of its own. [Config] makes such a configuration.
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

// Info tells about one certificate that a source serves, or means to serve.
type Info struct {
	// Source is where it comes from, for people: the certificate's file, the
	// host that ACME orders it for, or "self-signed".
	Source string
	// Names are the DNS names and IP addresses that it is valid for.
	Names []string
	// Issuer is the distinguished name of who signed it (RFC 4514).
	Issuer string
	// NotAfter is when it expires. It is zero where there is none as yet.
	NotAfter time.Time
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
// fingerprint it outlives a renewal that keeps the key.
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
}

// describe returns what there is to tell about a certificate by itself.
func describe(source string, cert *x509.Certificate) Info {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return Info{Source: source, Names: names, Issuer: cert.Issuer.String(), NotAfter: cert.NotAfter}
}

// serverName returns the name that the client asked for, in lower case.
func serverName(hello *tls.ClientHelloInfo) string { return strings.ToLower(hello.ServerName) }

// covers reports whether a client that asks for host accepts cert as its own.
func covers(cert *tls.Certificate, host string) bool { return cert.Leaf.VerifyHostname(host) == nil }
