package tlscert

import (
	"crypto/tls"
	"fmt"
	"strings"
	"time"
)

// reload serves what the files hold, pair by pair, where it is good. Files that
// are being written hold halves and mismatches; meanwhile the old certificate
// is served.
func (f *Files) reload(now time.Time, asked bool) {
	f.reloading.Lock()
	defer f.reloading.Unlock()
	old := f.current.Load()
	next := make([]served, len(f.pairs))
	for i, p := range f.pairs {
		next[i] = p.refresh(old.served[i], now)
	}
	g := newGeneration(next, f.hosts, now)
	// Each round keeps at least one more old certificate, and all of the old ones
	// cover every host.
	for lost := g.uncovered(); len(lost) > 0; lost = g.uncovered() {
		f.keepCovering(lost, old.served, next)
		g = newGeneration(next, f.hosts, now)
	}
	f.current.Store(g)
	for i, p := range f.pairs {
		f.report(p, old.served[i], next[i], asked)
	}
}

// refresh returns what to serve of p at now instead of s: what its files hold
// if that is good, otherwise s with the reason.
func (p Pair) refresh(s served, now time.Time) served {
	s.err = nil
	c, err := p.read()
	if err == nil && s.cert != nil && c == s.content {
		return s
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = p.parse(c)
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
	return served{content: c, cert: cert, warning: warning(cert, now)}
}

// keepCovering puts back the old certificates of the lost hosts where they were
// replaced. Hosts may move between pairs: a host is lost only if no pair has it.
func (f *Files) keepCovering(lost []string, old, next []served) {
	for i, p := range f.pairs {
		var dropped []string
		for _, host := range lost {
			if covers(old[i].cert, host) {
				dropped = append(dropped, host)
			}
		}
		if len(dropped) > 0 {
			next[i] = old[i]
			next[i].err = fmt.Errorf("certificate %s: no longer covers the host %s", p.Cert, strings.Join(dropped, ", "))
		}
	}
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

// warn logs what is no reason not to serve: some operators mean it.
func (f *Files) warn(p Pair, s served) {
	if s.warning != "" {
		f.log.Warn("clients may refuse this certificate", "file", p.Cert, "reason", s.warning)
	}
	if p.exposed() {
		f.log.Warn("a private key is readable by every user of this machine", "file", p.Key)
	}
}
