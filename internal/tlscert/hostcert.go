package tlscert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A hostCertificate is the current certificate of one host, and why the last
// order for it failed.
type hostCertificate struct {
	host    string
	current atomic.Pointer[tls.Certificate] // nil: none so far
	spread  float64                         // 0 to 1: how late this process renews, so that replicas do not all order at once
	wake    chan struct{}                   // holds a value when keep has to retry now

	mu  sync.Mutex // guards err
	err error
}

func newHostCertificate(host string) *hostCertificate {
	return &hostCertificate{host: host, spread: rand.Float64(), wake: make(chan struct{}, 1)} //nolint:gosec // no secret
}

// clockInterval bounds each sleep of keep, since clocks are set and machines are
// suspended.
const clockInterval = time.Minute

// keep obtains a certificate whenever there is none or it is due for renewal,
// until ctx is done.
func (h *hostCertificate) keep(ctx context.Context, log *slog.Logger, obtain func() (*tls.Certificate, error)) {
	failures := 0
	var earliest time.Time // of the next order
	for ctx.Err() == nil {
		if wait := max(time.Until(h.renewAt(h.current.Load())), time.Until(earliest)); wait > 0 {
			select {
			case <-ctx.Done():
			case <-h.wake:
				failures, earliest = 0, time.Time{}
			case <-time.After(min(wait, clockInterval)):
			}
			continue
		}
		cert, err := obtain()
		switch {
		case err == nil:
			h.current.Store(cert)
			h.setError(nil)
			log.Info("certificate obtained", "host", h.host, "expires", cert.Leaf.NotAfter)
			failures = 0
			// By a clock that is far ahead even a new certificate is due.
			earliest = time.Now().Add(lifetime(cert) / 10)
		case ctx.Err() == nil:
			if h.current.Load() != nil {
				err = fmt.Errorf("renewal failed: %w", err)
			}
			h.setError(err)
			wait := h.retryIn(failures)
			log.Warn("certificate order failed", "host", h.host, "reason", err, "retry_in", wait.Round(time.Second).String())
			failures++
			earliest = time.Now().Add(wait)
		}
	}
}

func lifetime(cert *tls.Certificate) time.Duration {
	return cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
}

// renewAt returns when to renew cert: in the last third of its life, or the last
// 30 days, and within the first tenth of these. Without a certificate that was
// long ago.
func (h *hostCertificate) renewAt(cert *tls.Certificate) time.Time {
	if cert == nil {
		return time.Time{}
	}
	left := min(lifetime(cert)/3, 30*24*time.Hour)
	return cert.Leaf.NotAfter.Add(-left + time.Duration(h.spread*float64(left)/10))
}

// retryIn returns how long to wait after so many failures and one more: 1, 10,
// 100 minutes, then a day, but less where the certificate ends soon. Let's Encrypt
// allows five failures an hour and host; a mistake that lasts a night must not
// use up the orders of a week.
func (h *hostCertificate) retryIn(failures int) time.Duration {
	waits := []time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}
	wait := waits[min(failures, len(waits)-1)]
	if cert := h.current.Load(); cert != nil && time.Now().Before(cert.Leaf.NotAfter) {
		wait = min(wait, max(time.Until(cert.Leaf.NotAfter)/10, 15*time.Minute))
	}
	return wait
}

// retryNow ends the wait after a failed order.
func (h *hostCertificate) retryNow() {
	select {
	case h.wake <- struct{}{}:
	default: // it is about to
	}
}

func (h *hostCertificate) setError(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

var errPending = errors.New("being ordered")

// info tells about the current certificate.
func (h *hostCertificate) info() Info {
	h.mu.Lock()
	err := h.err
	h.mu.Unlock()
	cert := h.current.Load()
	if cert == nil {
		if err == nil {
			err = errPending
		}
		return Info{Source: h.host, Names: []string{h.host}, Err: err}
	}
	info := describe(h.host, cert.Leaf)
	info.Err = err
	return info
}
