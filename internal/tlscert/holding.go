package tlscert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// holding is what there is for one host: the certificate in hand, the attempt
// that got it or is to get it, and what went wrong.
type holding struct {
	host    string
	cert    atomic.Pointer[tls.Certificate] // nil: none so far
	attempt atomic.Pointer[attempt]         // the newest; nil before the first
	wake    chan struct{}                   // holds a value when keep must not wait

	mu  sync.Mutex // guards err and the decision which certificate is newer
	err error      // why the newest order failed
}

func newHolding(host string) *holding { return &holding{host: host, wake: make(chan struct{}, 1)} }

// look is how often keep looks whether all is well.
const look = time.Minute

// keep sees to it that there is a valid certificate, by means of order, until
// ctx is done. The first order is placed even with one in hand, since it is what
// sets autocert to renewing it. If it expires all the same, renewals were
// failing, and keep orders anew.
func (h *holding) keep(ctx context.Context, log *slog.Logger, order func() (*tls.Certificate, error)) {
	ordered, failures, told := false, 0, ""
	for ctx.Err() == nil {
		wait := look
		if ordered && h.valid(time.Now()) {
			failures = 0
			told = h.tell(log, told)
		} else if cert, err := order(); err != nil {
			wait = retryIn(failures)
			failures++
			h.fail(err)
			if ctx.Err() == nil {
				log.Warn("certificate order failed", "host", h.host, "reason", err, "retry_in", wait.String())
			}
		} else {
			ordered = true
			h.fail(nil)
			h.take(cert, time.Now())
		}
		select {
		case <-ctx.Done():
		case <-h.wake:
			failures = 0
		case <-time.After(wait):
		}
	}
}

// retryIn returns how long to wait after so many failures and one more. Let's
// Encrypt forgives five an hour and host; a mistake that lasts a night must not
// use up the week's orders.
func retryIn(failures int) time.Duration {
	switch failures {
	case 0:
		return time.Minute
	case 1:
		return 10 * time.Minute
	case 2:
		return 100 * time.Minute
	}
	return 24 * time.Hour
}

// hurry ends the wait after a failed order.
func (h *holding) hurry() {
	select {
	case h.wake <- struct{}{}:
	default: // it is about to
	}
}

// valid reports whether the certificate in hand can be served.
func (h *holding) valid(now time.Time) bool {
	cert := h.cert.Load()
	return cert != nil && !now.After(cert.Leaf.NotAfter)
}

// take puts cert in hand if it is good and newer than what is there, and
// reports whether it did. Age goes by when it was issued: a CA that shortens
// its certificates' lives issues ones that expire earlier than their elders.
func (h *holding) take(cert *tls.Certificate, now time.Time) bool {
	if checkLeaf(cert.Leaf, now) != nil || !covers(cert, h.host) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.cert.Load(); old != nil && !cert.Leaf.NotBefore.After(old.Leaf.NotBefore) {
		return false
	}
	h.cert.Store(cert)
	h.err = nil
	return true
}

func (h *holding) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// tell logs what keeps the certificate from being renewed if it is not what was
// told before, and returns it.
func (h *holding) tell(log *slog.Logger, told string) string {
	err := h.info(time.Now()).Err
	if err == nil {
		return ""
	}
	if err.Error() != told {
		log.Warn("certificate not renewed", "host", h.host, "reason", err, "expires", h.cert.Load().Leaf.NotAfter)
	}
	return err.Error()
}

var errPending = errors.New("being ordered")

// info tells about the certificate in hand.
func (h *holding) info(now time.Time) Info {
	h.mu.Lock()
	err := h.err
	h.mu.Unlock()
	cert := h.cert.Load()
	if cert == nil {
		if err == nil {
			err = errPending
		}
		return Info{Source: h.host, Names: []string{h.host}, Err: err}
	}
	info := describe(h.host, cert.Leaf)
	if info.Err = err; err == nil {
		info.Err = h.renewal(cert.Leaf, now)
	}
	return info
}

// renewal returns what keeps the certificate in hand from being renewed. From
// autocert nothing is heard of it, so it is told by what the CA answered since
// it was due, or by its being late.
func (h *holding) renewal(leaf *x509.Certificate, now time.Time) error {
	due, late := renewalDue(leaf)
	if a := h.attempt.Load(); a != nil {
		if at, err := a.ca.failure(); err != nil && at.After(due) {
			return fmt.Errorf("renewal failed: %w", err)
		}
	}
	if now.After(late) {
		return errors.New("renewal is late")
	}
	return nil
}

// renewalDue returns from when on autocert renews a certificate, and when it
// should have been done with that: it starts a random while after it is due, at
// most a tenth of the time that is left then.
func renewalDue(leaf *x509.Certificate) (due, late time.Time) {
	left := min(leaf.NotAfter.Sub(leaf.NotBefore)/3, 30*24*time.Hour)
	due = leaf.NotAfter.Add(-left)
	return due, due.Add(left / 5)
}

// challenge answers a TLS-ALPN-01 challenge.
func (h *holding) challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a := h.attempt.Load()
	if a == nil {
		return nil, nil // nothing is being ordered: the alert unrecognized_name
	}
	return a.manager.GetCertificate(hello)
}

// challengeHTTP answers an HTTP-01 challenge.
func (h *holding) challengeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.attempt.Load()
	if a == nil {
		http.NotFound(w, r)
		return
	}
	// The CA may ask at another port, and autocert takes it for another host.
	r = r.WithContext(r.Context())
	r.Host = h.host
	a.http.ServeHTTP(w, r)
}
