package tlscert

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// An index finds the certificates for a server name. It does not change once it
// is made, so handshakes share it without a lock.
type index struct {
	hosts  []string                      // empty: every name in the certificates
	byName map[string][]*tls.Certificate // exact names, and wildcards as they are written
	noName []*tls.Certificate            // for a client that names no server
}

// newIndex indexes certs by what they are for, as of now. hosts are in lower case.
func newIndex(certs []*tls.Certificate, hosts []string, now time.Time) *index {
	x := &index{hosts: hosts, byName: make(map[string][]*tls.Certificate)}
	for _, cert := range preferred(certs, now) {
		for _, host := range hosts {
			if covers(cert, host) {
				x.byName[host] = append(x.byName[host], cert)
			}
		}
		if len(hosts) > 0 {
			continue
		}
		for _, name := range describe("", cert.Leaf).Names {
			name = strings.ToLower(name)
			x.byName[name] = append(x.byName[name], cert)
		}
	}
	first := append(slices.Clone(hosts), describe("", certs[0].Leaf).Names...)[0]
	x.noName = x.byName[strings.ToLower(first)]
	return x
}

// preferred returns certs in the order in which clients are offered them. RSA
// comes late, since signing with it costs a server many times as much, and
// expired certificates come last. Otherwise the order stays.
func preferred(certs []*tls.Certificate, now time.Time) []*tls.Certificate {
	rank := func(cert *tls.Certificate) int {
		switch {
		case now.After(cert.Leaf.NotAfter):
			return 2
		case cert.Leaf.PublicKeyAlgorithm == x509.RSA:
			return 1
		}
		return 0
	}
	sorted := slices.Clone(certs)
	slices.SortStableFunc(sorted, func(a, b *tls.Certificate) int { return rank(a) - rank(b) })
	return sorted
}

// uncovered returns the hosts that no certificate is for.
func (x *index) uncovered() []string {
	var hosts []string
	for _, host := range x.hosts {
		if len(x.byName[host]) == 0 {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// find returns the certificate to answer hello with, or nil where the name is
// not known.
func (x *index) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	certs := x.named(serverName(hello))
	if len(certs) == 0 {
		return nil
	}
	if len(certs) > 1 {
		for _, cert := range certs {
			if hello.SupportsCertificate(cert) == nil {
				return cert
			}
		}
	}
	return certs[0] // where none suits, the handshake fails and says why
}

// named returns the certificates for a server name in lower case.
func (x *index) named(name string) []*tls.Certificate {
	if name == "" {
		return x.noName
	}
	if certs := x.byName[name]; len(certs) > 0 || len(x.hosts) > 0 {
		return certs
	}
	// A wildcard stands for one whole label (RFC 9525, section 6.3).
	if _, parent, ok := strings.Cut(name, "."); ok {
		return x.byName["*."+parent]
	}
	return nil
}
