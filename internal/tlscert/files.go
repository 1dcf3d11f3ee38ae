package tlscert

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Files is a source of certificates in files, one or more pairs of a PEM chain
// and its key: several names, or ECDSA and RSA for the same one.
type Files struct {
	pairs  []Pair
	served []*tls.Certificate // one a pair
	choice *choice
}

// NewFiles reads the pairs as of now. Where hosts are given, only they are
// answered for and each of them must be covered; without, it is every name in
// the certificates. An error names the file and the reason. A key that everybody
// on the machine can read is a warning in log.
func NewFiles(pairs []Pair, hosts []string, now time.Time, log *slog.Logger) (*Files, error) {
	if len(pairs) == 0 {
		return nil, errors.New("tlscert: no certificate is given")
	}
	f := &Files{pairs: pairs}
	for _, p := range pairs {
		c, err := p.read()
		if err != nil {
			return nil, fmt.Errorf("tlscert: %w", err)
		}
		cert, err := p.parse(c, now)
		if err != nil {
			return nil, fmt.Errorf("tlscert: %w", err)
		}
		if p.exposed() {
			log.Warn("a private key is readable by every user of this machine", "file", p.Key)
		}
		f.served = append(f.served, cert)
	}
	f.choice = newChoice(f.served, normalized(hosts))
	if hosts := f.choice.uncovered(); len(hosts) > 0 {
		return nil, fmt.Errorf("tlscert: certificate %s: does not cover the host %s", f.sources(), strings.Join(hosts, ", "))
	}
	return f, nil
}

// sources names the certificates' files.
func (f *Files) sources() string {
	s := f.pairs[0].Cert
	for _, p := range f.pairs[1:] {
		s += ", " + p.Cert
	}
	return s
}

// GetCertificate is for [Config]: a certificate for the name that the client
// asked for, of a kind that it can verify. A client that names none gets the
// first host's, or without hosts that of the first pair.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.choice.pick(hello), nil
}

// Certificates returns one Info a pair, in their order.
func (f *Files) Certificates() []Info {
	infos := make([]Info, len(f.pairs))
	for i, cert := range f.served {
		infos[i] = describe(f.pairs[i].Cert, cert.Leaf)
	}
	return infos
}
