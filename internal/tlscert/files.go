package tlscert

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNotValidNow says that a certificate has expired or is not valid yet. A
// renewal, or a clock that is set, ends that without the operator.
var ErrNotValidNow = errors.New("not valid now")

// Files is a source of certificates in files, one or more pairs of a PEM chain
// and its key: several names, or ECDSA and RSA for the same one. It serves what
// the files come to hold later as soon as that is found to be good.
type Files struct {
	pairs []Pair
	hosts []string // empty: every name in the certificates
	log   *slog.Logger

	current   atomic.Pointer[[]served] // one a pair; never changed in place
	reloading sync.Mutex               // held by the one reload that may replace current
}

// NewFiles reads the pairs, at least one, as of now. With hosts (in lower case),
// only they are answered for and each must be covered; without, every name in the
// certificates is. An error names the file and the reason, or the host; it is an
// ErrNotValidNow where nothing is wrong but the time. What is no reason not to
// start, such as a chain that is not whole, is a warning in log.
func NewFiles(pairs []Pair, hosts []string, now time.Time, log *slog.Logger) (*Files, error) {
	f := &Files{pairs: pairs, hosts: hosts, log: log}
	first := make([]served, len(pairs))
	for i, p := range pairs {
		if first[i] = p.refresh(served{}, now); first[i].err != nil {
			return nil, fmt.Errorf("tlscert: %w", first[i].err)
		}
		f.warn(p, first[i])
	}
	if lost := f.uncovered(first); len(lost) > 0 {
		return nil, fmt.Errorf("tlscert: no certificate covers the host %s", strings.Join(lost, ", "))
	}
	f.current.Store(&first)
	return f, nil
}

// GetCertificate is for [Config]. It returns a certificate for the name that the
// client asks for that has not expired and is of a kind that the client can verify:
// ECDSA if possible, since signing with RSA costs many times as much. A client that
// names none gets the first host's, or without hosts that of the first pair.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := *f.current.Load()
	name := serverName(hello)
	switch {
	case name == "" && len(f.hosts) > 0:
		name = f.hosts[0]
	case name == "": // any name stands for a wildcard, which is no name by itself
		name = strings.Replace(all[0].names()[0], "*", "any", 1)
	case len(f.hosts) > 0 && !slices.Contains(f.hosts, name):
		return nil, nil // the alert unrecognized_name
	}
	var rsa, first *tls.Certificate
	for _, s := range all {
		if !s.covers(name) {
			continue
		}
		first = cmp.Or(first, s.cert)
		if time.Now().After(s.cert.Leaf.NotAfter) || hello.SupportsCertificate(s.cert) != nil {
			continue
		}
		if s.cert.Leaf.PublicKeyAlgorithm != x509.RSA {
			return s.cert, nil
		}
		rsa = cmp.Or(rsa, s.cert)
	}
	return cmp.Or(rsa, first), nil // with one that does not suit, the handshake fails and says why
}

// Certificates describes one certificate a pair, in their order.
func (f *Files) Certificates() []Info {
	infos := make([]Info, len(f.pairs))
	for i, s := range *f.current.Load() {
		infos[i] = s.info(f.pairs[i].Cert)
	}
	return infos
}

// Run looks every 30 seconds at what the files hold, until ctx is done. It
// compares contents: a watch on the files would see nothing after Kubernetes
// replaces the symbolic link in front of them.
func (f *Files) Run(ctx context.Context) {
	ticker := time.NewTicker(30 * time.Second)
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

// reload serves what the files hold, pair by pair, where it is good. Files that
// are being written hold halves and mismatches; meanwhile the old certificate
// is served.
func (f *Files) reload(now time.Time, asked bool) {
	f.reloading.Lock()
	defer f.reloading.Unlock()
	old := *f.current.Load()
	next := make([]served, len(old))
	for i, p := range f.pairs {
		next[i] = p.refresh(old[i], now)
	}
	// A host may move from one pair to another. If it is in none, the pairs that had it
	// stay. Each round puts back at least one old certificate, and all old ones together
	// cover every host.
	for lost := f.uncovered(next); len(lost) > 0; lost = f.uncovered(next) {
		for i, p := range f.pairs {
			if old[i].covers(lost[0]) {
				next[i] = old[i]
				next[i].err = fmt.Errorf("certificate %s: no longer covers the host %s", p.Cert, lost[0])
			}
		}
	}
	f.current.Store(&next)
	for i, p := range f.pairs {
		f.report(p, old[i], next[i], asked)
	}
}

// refresh returns what to serve of p at now instead of s: what its files hold
// if that is good, otherwise s with the reason.
func (p Pair) refresh(s served, now time.Time) served {
	cert, err := ReadPair(p)
	if err == nil && s.cert != nil && slices.EqualFunc(cert.Certificate, s.cert.Certificate, bytes.Equal) {
		return served{cert: s.cert, warning: s.warning}
	}
	if err == nil {
		if err = checkLeaf(cert.Leaf, now); err != nil {
			err = fmt.Errorf("certificate %s: %w", p.Cert, err)
		}
	}
	if err != nil {
		s.err = err
		return s
	}
	return served{cert: cert, warning: warning(cert, now)}
}

// uncovered returns the hosts that no certificate is for.
func (f *Files) uncovered(all []served) (lost []string) {
	for _, host := range f.hosts {
		if !slices.ContainsFunc(all, func(s served) bool { return s.covers(host) }) {
			lost = append(lost, host)
		}
	}
	return lost
}

// report logs what became of one pair: each change once, and everything if the
// operator asked.
func (f *Files) report(p Pair, was, is served, asked bool) {
	log := f.log.With("file", p.Cert, "expires", is.cert.Leaf.NotAfter)
	switch {
	case is.cert != was.cert:
		log.Info("certificate replaced")
		f.warn(p, is)
	case is.err != nil && (asked || was.err == nil || was.err.Error() != is.err.Error()):
		log.Warn("certificate not replaced, the old one is still served", "reason", is.err)
	case is.err == nil && was.err != nil:
		log.Info("certificate's files hold again what is served")
	case asked:
		log.Info("certificate unchanged")
	}
}

// warn logs what is no reason not to serve: some operators mean it. A group that
// can read the key is how many machines share it with their services.
func (f *Files) warn(p Pair, s served) {
	if s.warning != "" {
		f.log.Warn("clients may refuse this certificate", "file", p.Cert, "reason", s.warning)
	}
	if info, err := os.Stat(p.Key); err == nil && info.Mode().Perm()&0o004 != 0 {
		f.log.Warn("a private key is readable by every user of this machine", "file", p.Key)
	}
}

// checkLeaf returns why no client would accept the server's certificate at now.
func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w: expired at %s", ErrNotValidNow, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w: not valid before %s", ErrNotValidNow, leaf.NotBefore.UTC().Format(time.RFC3339))
	case len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0:
		// Clients no longer look at the common name.
		return errors.New("names no host (it has no subject alternative name)")
	}
	return nil
}

// warning returns why many clients would refuse cert although it can be served;
// empty for none. A chain has to lead to a root of this system, or to one in the
// file itself.
func warning(cert *tls.Certificate, now time.Time) string {
	// Verify looks at the usages only if it finds a root.
	usages := cert.Leaf.ExtKeyUsage
	if len(usages)+len(cert.Leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(usages, x509.ExtKeyUsageServerAuth) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		return "it is not for servers: its extended key usage lacks serverAuth"
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	intermediates := x509.NewCertPool()
	chain, _ := x509.ParseCertificates(bytes.Join(cert.Certificate, nil)) // ReadPair has parsed them
	for _, c := range chain {
		intermediates.AddCert(c)
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			roots.AddCert(c)
		}
	}
	_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &unknown) && unknown.Cert != nil:
		return fmt.Sprintf("its chain leads to no root: the issuer %q is neither in the file nor a root of this system", unknown.Cert.Issuer)
	}
	return "it does not verify: " + err.Error()
}
