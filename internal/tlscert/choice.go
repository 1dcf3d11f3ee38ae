package tlscert

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// choice is what a hello is answered from: certificates by the names that they
// are for. It does not change once it is made, so handshakes share it freely.
type choice struct {
	hosts    []string                      // empty: every name in the certificates
	byName   map[string][]*tls.Certificate // exact names, and wildcards as they are written
	fallback []*tls.Certificate            // for a client that names no server
}

// newChoice indexes certs by what they are for, as of now. hosts are normalized.
func newChoice(certs []*tls.Certificate, hosts []string, now time.Time) *choice {
	c := &choice{hosts: hosts, byName: make(map[string][]*tls.Certificate)}
	for _, cert := range preferred(certs, now) {
		if len(hosts) > 0 {
			for _, host := range hosts {
				if covers(cert, host) {
					c.byName[host] = append(c.byName[host], cert)
				}
			}
			continue
		}
		for _, name := range describe("", cert.Leaf).Names {
			name = strings.ToLower(name)
			c.byName[name] = append(c.byName[name], cert)
		}
	}
	if len(hosts) > 0 {
		c.fallback = c.byName[hosts[0]]
	} else {
		first := strings.ToLower(describe("", certs[0].Leaf).Names[0])
		c.fallback = c.byName[first]
	}
	return c
}

// preferred returns certs in the order in which a client is offered them:
// expired ones last, and before them RSA, since signing with it costs a server many
// times as much. Otherwise they stay as they came.
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
func (c *choice) uncovered() []string {
	var hosts []string
	for _, host := range c.hosts {
		if len(c.byName[host]) == 0 {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// pick returns the certificate to answer hello with, or nil where the name is
// not known.
func (c *choice) pick(hello *tls.ClientHelloInfo) *tls.Certificate {
	certs := c.candidates(serverName(hello))
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
	// Where none suits, the handshake fails over this one, and says why.
	return certs[0]
}

// candidates returns the certificates for a server name in lower case.
func (c *choice) candidates(name string) []*tls.Certificate {
	if name == "" {
		return c.fallback
	}
	if certs := c.byName[name]; len(certs) > 0 || len(c.hosts) > 0 {
		return certs
	}
	// A wildcard stands for one whole label (RFC 9525, section 6.3).
	if _, parent, ok := strings.Cut(name, "."); ok {
		return c.byName["*."+parent]
	}
	return nil
}
