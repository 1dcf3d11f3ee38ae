package tlscert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// A hostCertificate is the certificate of one host, and when to order the next
// one. Only Run changes it.
type hostCertificate struct {
	host    string
	current atomic.Pointer[served]

	spread   float64   // 0 to 1: how late this process renews, so that replicas do not all order at once
	failures int       // since the last success
	earliest time.Time // of the next order
}

func newHostCertificate(host string) *hostCertificate {
	h := &hostCertificate{host: host, spread: rand.Float64()} //nolint:gosec // no secret
	h.current.Store(&served{err: errors.New("being ordered")})
	return h
}

func lifetime(cert *tls.Certificate) time.Duration {
	return cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
}

// renewAt returns when to renew cert: in the last third of its life, or the last
// 30 days, and within the first tenth of these.
func (h *hostCertificate) renewAt(cert *tls.Certificate) time.Time {
	left := min(lifetime(cert)/3, 30*24*time.Hour)
	return cert.Leaf.NotAfter.Add(-left + time.Duration(h.spread*float64(left)/10))
}

// wait returns how long it is until the next order; zero or less if it is due.
func (h *hostCertificate) wait(now time.Time) time.Duration {
	wait := h.earliest.Sub(now)
	if cert := h.current.Load().cert; cert != nil {
		wait = max(wait, h.renewAt(cert).Sub(now))
	}
	return wait
}

// obtained serves a new certificate.
func (h *hostCertificate) obtained(cert *tls.Certificate, now time.Time) {
	h.current.Store(&served{cert: cert})
	h.failures = 0
	h.earliest = now.Add(lifetime(cert) / 10) // by a clock that is far ahead even a new certificate is due
}

// failed records why an order failed and returns how long to wait: 1, 10, 100
// minutes, then a day, but less where the certificate ends soon. Let's Encrypt
// allows five failures an hour and host; a mistake that lasts a night must not
// use up the orders of a week.
func (h *hostCertificate) failed(err error, now time.Time) time.Duration {
	waits := []time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}
	wait := waits[min(h.failures, len(waits)-1)]
	cert := h.current.Load().cert
	h.current.Store(&served{cert: cert, err: err})
	if cert != nil && now.Before(cert.Leaf.NotAfter) {
		wait = min(wait, max(cert.Leaf.NotAfter.Sub(now)/10, 15*time.Minute))
	}
	h.failures++
	h.earliest = now.Add(wait)
	return wait
}

// clockInterval bounds each sleep of Run, since clocks are set and machines are
// suspended. It is also how often Run writes what could not be cached before.
const clockInterval = time.Minute

// Run orders and renews, one certificate after the other, until ctx is done, which
// cuts the connections to the CA. It returns within seconds, once the order under
// way has noticed.
func (a *ACME) Run(ctx context.Context) {
	defer a.base.CloseIdleConnections()
	for ctx.Err() == nil {
		wait := clockInterval
		for _, host := range a.config.Hosts {
			h := a.certs[host]
			if h.wait(time.Now()) <= 0 {
				a.renew(ctx, h)
			}
			wait = min(wait, h.wait(time.Now()))
		}
		a.cache.save(ctx)
		select {
		case <-ctx.Done():
		case <-a.retry:
			for _, h := range a.certs {
				h.failures, h.earliest = 0, time.Time{}
			}
		case <-time.After(wait):
		}
	}
}

// renew gets a certificate for a host for which one is due.
func (a *ACME) renew(ctx context.Context, h *hostCertificate) {
	cert, err := a.obtain(ctx, h)
	switch {
	case err == nil:
		h.obtained(cert, time.Now())
		a.log.Info("certificate obtained", "host", h.host, "expires", cert.Leaf.NotAfter)
	case ctx.Err() == nil:
		if h.current.Load().cert != nil {
			err = fmt.Errorf("renewal failed: %w", err)
		}
		wait := h.failed(err, time.Now())
		a.log.Warn("certificate order failed", "host", h.host, "reason", err, "retry_in", wait.Round(time.Second).String())
	}
}

// obtain returns a certificate that is not due for renewal: one that another
// replica has put into the cache, or a new one.
func (a *ACME) obtain(ctx context.Context, h *hostCertificate) (*tls.Certificate, error) {
	cert, err := a.cached(ctx, h.host)
	if err == nil && time.Now().Before(h.renewAt(cert)) {
		return cert, nil
	}
	if err != nil && !errors.Is(err, autocert.ErrCacheMiss) && h.current.Load().cert == nil {
		return nil, err // a good certificate may be there: do not order it again at each start
	}
	return a.order(ctx, h.host)
}

// cached returns a host's certificate from the cache. One that cannot be served
// is an autocert.ErrCacheMiss.
func (a *ACME) cached(ctx context.Context, host string) (*tls.Certificate, error) {
	data, err := a.cache.load(ctx, host)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(data, data) // it holds both, in PEM
	if err != nil || checkLeaf(cert.Leaf, time.Now()) != nil || cert.Leaf.VerifyHostname(host) != nil {
		return nil, autocert.ErrCacheMiss
	}
	return &cert, nil
}
