package tlscert

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// A generation is what is served at one time. It does not change once it is
// made, so handshakes share it without a lock.
type generation struct {
	served []served           // one a pair
	hosts  []string           // empty: every name in the certificates
	certs  []*tls.Certificate // in the order in which clients are offered them
	noName string             // what a client gets that names no server
}

// newGeneration orders certificates as of now. hosts are in lower case. RSA comes
// late, since signing with it costs a server many times as much, and expired
// certificates come last. Otherwise the order stays.
func newGeneration(s []served, hosts []string, now time.Time) *generation {
	rank := func(cert *tls.Certificate) int {
		switch {
		case now.After(cert.Leaf.NotAfter):
			return 2
		case cert.Leaf.PublicKeyAlgorithm == x509.RSA:
			return 1
		}
		return 0
	}
	g := &generation{served: s, hosts: hosts}
	for i := range s {
		g.certs = append(g.certs, s[i].cert)
	}
	first := append(slices.Clone(hosts), describe("", g.certs[0].Leaf).Names...)[0]
	g.noName = strings.Replace(first, "*", "any", 1) // any name stands for a wildcard, which is no name by itself
	slices.SortStableFunc(g.certs, func(a, b *tls.Certificate) int { return cmp.Compare(rank(a), rank(b)) })
	return g
}

// uncovered returns the hosts that no certificate is for.
func (g *generation) uncovered() []string {
	var hosts []string
	for _, host := range g.hosts {
		if !slices.ContainsFunc(g.certs, func(cert *tls.Certificate) bool { return covers(cert, host) }) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// find returns a certificate for the name that the client asks for, of a kind that
// it can verify. It is nil where the name is not known.
func (g *generation) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := cmp.Or(serverName(hello), g.noName)
	if hello.ServerName != "" && len(g.hosts) > 0 && !slices.Contains(g.hosts, name) {
		return nil
	}
	var first *tls.Certificate // where none suits, the handshake fails with it and says why
	for _, cert := range g.certs {
		if !covers(cert, name) {
			continue
		}
		if len(g.certs) == 1 || hello.SupportsCertificate(cert) == nil {
			return cert
		}
		first = cmp.Or(first, cert)
	}
	return first
}
