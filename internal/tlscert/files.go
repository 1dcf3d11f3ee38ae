package tlscert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how often Run looks at the files.
const pollInterval = 30 * time.Second

// Files is a source of certificates in files, one or more pairs of a PEM chain
// and its key: several names, or ECDSA and RSA for the same one. It serves what
// the files come to hold later as soon as that is found to be good.
type Files struct {
	pairs []Pair
	hosts []string
	log   *slog.Logger

	current   atomic.Pointer[generation]
	reloading sync.Mutex // held by the one reload that may replace current
}

// served is the certificate of one pair.
type served struct {
	content content
	cert    *tls.Certificate
	warning string // why many clients refuse it
	err     error  // why what the files hold now is not served
}

// NewFiles reads the pairs as of now. Where hosts are given (in lower case), only
// they are answered for and each of them must be covered; without hosts, every
// name in the certificates is. An error names the file and the reason, and is an
// ErrNotValidNow where nothing is wrong but the time. What is no reason not to
// start, such as a chain that is not whole, is a warning in log; later reloads
// report there too.
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
	g := newGeneration(first, hosts, now)
	if hosts := g.uncovered(); len(hosts) > 0 {
		return nil, fmt.Errorf("tlscert: certificate %s: does not cover the host %s", f.names(), strings.Join(hosts, ", "))
	}
	for i, p := range pairs {
		f.warn(p, first[i])
	}
	f.current.Store(g)
	return f, nil
}

// names lists the certificates' files.
func (f *Files) names() string {
	names := make([]string, len(f.pairs))
	for i, p := range f.pairs {
		names[i] = p.Cert
	}
	return strings.Join(names, ", ")
}

// GetCertificate is for [Config]. It returns a certificate for the name that the
// client asked for, of a kind that the client can verify. A client that names
// none gets the first host's, or without hosts that of the first pair.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.current.Load().find(hello), nil
}

// Certificates returns one Info a pair, in their order.
func (f *Files) Certificates() []Info {
	infos := make([]Info, len(f.pairs))
	for i, s := range f.current.Load().served {
		infos[i] = describe(f.pairs[i].Cert, s.cert.Leaf)
		infos[i].Warning, infos[i].Err = s.warning, s.err
	}
	return infos
}

// Run looks every 30 seconds at what the files hold, until ctx is done. It
// compares contents: a watch on the files would see nothing after Kubernetes
// replaces the symbolic link in front of them.
func (f *Files) Run(ctx context.Context) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			f.reload(now, false)
		}
	}
}

// Reload looks at the files now, for the operator who asks for it with a signal.
// Unlike Run it reports the outcome even where nothing changed.
func (f *Files) Reload() { f.reload(time.Now(), true) }
