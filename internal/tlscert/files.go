package tlscert

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Files is a source of certificates in files, one or more pairs of a PEM chain
// and its key: several names, or ECDSA and RSA for the same one. What the files
// come to hold later is served as soon as it is found to be good.
type Files struct {
	pairs []Pair
	hosts []string
	log   *slog.Logger

	current   atomic.Pointer[generation]
	reloading sync.Mutex // lets one reload replace current at a time
}

// generation is what the files held at one time. It does not change once it is
// made, so that handshakes share it without a lock.
type generation struct {
	served []served // one a pair
	choice *choice
}

// served is the certificate of one pair.
type served struct {
	content content
	cert    *tls.Certificate
	err     error // why the pair's files hold something else that is not served
}

// NewFiles reads the pairs as of now. Where hosts are given (in lower case), only
// they are answered for and each of them must be covered; without, it is every name in
// the certificates. An error names the file and the reason. A key that everybody
// on the machine can read is a warning in log, to which later reloads report too.
func NewFiles(pairs []Pair, hosts []string, now time.Time, log *slog.Logger) (*Files, error) {
	if len(pairs) == 0 {
		return nil, errors.New("tlscert: no certificate is given")
	}
	f := &Files{pairs: pairs, hosts: hosts, log: log}
	first := make([]served, len(pairs))
	for i, p := range pairs {
		if first[i] = p.refresh(served{}, now); first[i].err != nil {
			return nil, fmt.Errorf("tlscert: %w", first[i].err)
		}
	}
	g := f.generation(first, now)
	if hosts := g.choice.uncovered(); len(hosts) > 0 {
		return nil, fmt.Errorf("tlscert: certificate %s: does not cover the host %s", f.sources(), strings.Join(hosts, ", "))
	}
	for _, p := range pairs {
		f.warnIfExposed(p)
	}
	f.current.Store(g)
	return f, nil
}

func (f *Files) generation(s []served, now time.Time) *generation {
	certs := make([]*tls.Certificate, len(s))
	for i := range s {
		certs[i] = s[i].cert
	}
	return &generation{s, newChoice(certs, f.hosts, now)}
}

// sources names the certificates' files.
func (f *Files) sources() string {
	names := make([]string, len(f.pairs))
	for i, p := range f.pairs {
		names[i] = p.Cert
	}
	return strings.Join(names, ", ")
}

// GetCertificate is for [Config]: a certificate for the name that the client
// asked for, of a kind that it can verify. A client that names none gets the
// first host's, or without hosts that of the first pair.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.current.Load().choice.pick(hello), nil
}

// Certificates returns one Info a pair, in their order.
func (f *Files) Certificates() []Info {
	g := f.current.Load()
	infos := make([]Info, len(f.pairs))
	for i, s := range g.served {
		infos[i] = describe(f.pairs[i].Cert, s.cert.Leaf)
		infos[i].Err = s.err
	}
	return infos
}
