package tlscert

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// An index finds the certificate for a handshake. It does not change once it is
// made, so handshakes share it without a lock.
type index struct {
	hosts  []string           // empty: every name in the certificates
	certs  []*tls.Certificate // in the order in which clients are offered them
	noName string             // what a client gets that names no server
}

// newIndex returns an index of certs as of now. hosts are in lower case. RSA comes
// late, since signing with it costs a server many times as much, and expired
// certificates come last. Otherwise the order stays.
func newIndex(certs []*tls.Certificate, hosts []string, now time.Time) *index {
	rank := func(cert *tls.Certificate) int {
		switch {
		case now.After(cert.Leaf.NotAfter):
			return 2
		case cert.Leaf.PublicKeyAlgorithm == x509.RSA:
			return 1
		}
		return 0
	}
	first := append(slices.Clone(hosts), describe("", certs[0].Leaf).Names...)[0]
	certs = slices.Clone(certs)
	slices.SortStableFunc(certs, func(a, b *tls.Certificate) int { return cmp.Compare(rank(a), rank(b)) })
	// Any name stands for a wildcard, which is no name by itself.
	return &index{hosts, certs, strings.Replace(first, "*", "any", 1)}
}

// uncovered returns the hosts that no certificate is for.
func (x *index) uncovered() []string {
	var hosts []string
	for _, host := range x.hosts {
		if !slices.ContainsFunc(x.certs, func(cert *tls.Certificate) bool { return covers(cert, host) }) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// find returns a certificate for the name that the client asks for, of a kind that
// it can verify. It is nil where the name is not known.
func (x *index) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := cmp.Or(serverName(hello), x.noName)
	if hello.ServerName != "" && len(x.hosts) > 0 && !slices.Contains(x.hosts, name) {
		return nil
	}
	var first *tls.Certificate // where none suits, the handshake fails with it and says why
	for _, cert := range x.certs {
		if !covers(cert, name) {
			continue
		}
		if len(x.certs) == 1 || hello.SupportsCertificate(cert) == nil {
			return cert
		}
		first = cmp.Or(first, cert)
	}
	return first
}
