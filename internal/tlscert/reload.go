package tlscert

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Run looks at what the files hold every interval, 30 to 60 seconds being
// plenty, until ctx is done. It compares contents: a watch on the files would
// be deaf after Kubernetes replaces the symbolic link that they lie behind.
func (f *Files) Run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
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

// Reload looks at what the files hold right now, for the operator who asks for
// it with a signal. Unlike Run it reports the outcome even where nothing changed.
func (f *Files) Reload() { f.reload(time.Now(), true) }

// reload serves what the files hold, pair by pair, as far as it is good. While
// somebody writes them they hold halves and mismatches; the old certificate
// keeps serving until that is over.
func (f *Files) reload(now time.Time, asked bool) {
	f.reloading.Lock()
	defer f.reloading.Unlock()
	old := f.current.Load()
	next := make([]served, len(f.pairs))
	for i, p := range f.pairs {
		next[i] = p.refresh(old.served[i], now)
	}
	g := f.generation(next, now)
	if lost := g.choice.uncovered(); len(lost) > 0 {
		f.keepCovering(lost, old.served, next)
		g = f.generation(next, now)
	}
	f.current.Store(g)
	for i, p := range f.pairs {
		f.report(p, old.served[i], next[i], asked)
	}
}

// refresh returns what to serve of p at now in place of s: what its files hold
// if that is good, otherwise s with the reason.
func (p Pair) refresh(s served, now time.Time) served {
	c, err := p.read()
	if err == nil && s.cert != nil && c.equal(s.content) {
		s.err = nil
		return s
	}
	if err != nil {
		s.err = err
		return s
	}
	cert, err := p.parse(c, now)
	if err != nil {
		s.err = err
		return s
	}
	return served{content: c, cert: cert}
}

// keepCovering takes those replacements back that leave a lost host without a
// certificate. Since old covered every host, so does next afterwards. Hosts may
// move between pairs: what counts is that some pair covers each.
func (f *Files) keepCovering(lost []string, old, next []served) {
	for i, p := range f.pairs {
		gone := slices.DeleteFunc(slices.Clone(lost), func(host string) bool {
			return !covers(old[i].cert, host)
		})
		if len(gone) > 0 {
			next[i] = old[i]
			next[i].err = fmt.Errorf("certificate %s: no longer covers the host %s", p.Cert, strings.Join(gone, ", "))
		}
	}
}

// report logs what became of one pair: once for each change, and always if
// somebody asked.
func (f *Files) report(p Pair, was, is served, asked bool) {
	log := f.log.With("file", p.Cert, "expires", is.cert.Leaf.NotAfter)
	switch {
	case is.cert != was.cert:
		log.Info("certificate replaced")
		f.warnIfExposed(p)
	case is.err != nil && (asked || was.err == nil || was.err.Error() != is.err.Error()):
		log.Warn("certificate not replaced, the old one keeps serving", "reason", is.err)
	case is.err == nil && was.err != nil:
		log.Info("certificate's files hold again what is served")
	case asked:
		log.Info("certificate unchanged")
	}
}

// warnIfExposed tells of a key that is open to everybody. Some operators mean
// it, on a machine with no other users, so it is no reason not to start.
func (f *Files) warnIfExposed(p Pair) {
	if p.exposed() {
		f.log.Warn("a private key is readable by every user of this machine", "file", p.Key)
	}
}
