package tlscert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"time"
)

// selfSignedLifetime is below Apple's limit. Browsers refuse certificates with a
// longer life even where the user trusts them.
const selfSignedLifetime = 397 * 24 * time.Hour

// SelfSigned is a source for development: one certificate that no CA signs. Its
// key exists only in this process.
type SelfSigned struct {
	served served
	hosts  []string
}

// NewSelfSigned makes a certificate for localhost, 127.0.0.1, ::1 and each of
// hosts, which are DNS names in lower case or IP addresses, valid from now on.
func NewSelfSigned(hosts []string, now time.Time) (*SelfSigned, error) {
	template := &x509.Certificate{
		// A fresh subject each time. With the same name, a client that trusts
		// yesterday's certificate would report today's as forged, not as unknown.
		Subject: pkix.Name{CommonName: "messaging_api self-signed " + rand.Text()[:8]},
		// A client's clock may run a little behind ours.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(selfSignedLifetime - time.Hour),
		KeyUsage:  x509.KeyUsageDigitalSignature,
		// Clients that honour extended key usage refuse a server without it.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Not a CA: a client that trusts this certificate trusts these names only,
		// not what its key could sign.
		BasicConstraintsValid: true,
	}
	names := append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		// An address that is listed as a DNS name matches nothing.
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	// P-256 is the curve that every client has.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &SelfSigned{served{cert: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}, hosts}, nil
}

// Leaf returns the certificate, to print its [Fingerprint] and its [Pin].
func (s *SelfSigned) Leaf() *x509.Certificate { return s.served.cert.Leaf }

// GetCertificate is for [Config]. Without hosts it answers for any name, as the
// service itself does then.
func (s *SelfSigned) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := serverName(hello)
	if name != "" && len(s.hosts) > 0 && !s.served.covers(name) {
		return nil, nil // the alert unrecognized_name
	}
	return s.served.cert, nil
}

// Certificates describes the one certificate.
func (s *SelfSigned) Certificates() []Info { return []Info{s.served.info("self-signed")} }

// Reload does nothing: the certificate never changes.
func (*SelfSigned) Reload() {}

// Run returns at once.
func (*SelfSigned) Run(context.Context) {}
