package tlscert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// certificate makes one for host that signs itself.
func certificate(t *testing.T, host string, from, to time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{DNSNames: []string{host}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// keeping runs keep in a synctest bubble until stop is called.
func keeping(h *holding, log *slog.Logger, order func() (*tls.Certificate, error)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		h.keep(ctx, log, order)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}

func TestKeepBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var orders []time.Duration // since begin
		h := newHolding("a.example")
		var log lines
		stop := keeping(h, slog.New(slog.NewTextHandler(&log, nil)), func() (*tls.Certificate, error) {
			orders = append(orders, time.Since(begin))
			return nil, errors.New("refused")
		})
		<-time.After(50 * time.Hour)
		synctest.Wait()
		h.hurry()
		synctest.Wait()
		<-time.After(5 * time.Minute)
		stop()
		h.hurry()
		h.hurry() // does not block though nobody listens
		want := []time.Duration{
			0, time.Minute, 11 * time.Minute, 111 * time.Minute, 111*time.Minute + 24*time.Hour, 111*time.Minute + 48*time.Hour,
			50 * time.Hour, 50*time.Hour + time.Minute,
		}
		if !slices.Equal(orders, want) {
			t.Errorf("orders at %v, want %v", orders, want)
		}
		if got := log.count("refused"); got != len(want) {
			t.Errorf("%d failures logged, want %d", got, len(want))
		}
		if info := h.info(time.Now()); info.Err == nil || !info.NotAfter.IsZero() {
			t.Errorf("got %+v, want an error and no certificate", info)
		}
	})
}

// A certificate that is in hand from the cache is ordered all the same, once,
// and not again before it has expired unrenewed.
func TestKeepOrdersAtExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 90 * 24 * time.Hour
		begin := time.Now()
		h := newHolding("a.example")
		h.take(certificate(t, "a.example", begin, begin.Add(life)), begin)
		var orders []time.Duration
		var log lines
		stop := keeping(h, slog.New(slog.NewTextHandler(&log, nil)), func() (*tls.Certificate, error) {
			orders = append(orders, time.Since(begin))
			if time.Since(begin) < life {
				return h.cert.Load(), nil
			}
			return certificate(t, "a.example", time.Now(), time.Now().Add(life)), nil
		})
		<-time.After(life / 3 * 2)
		synctest.Wait()
		if got := h.info(time.Now()).Err; got != nil || log.count("\n") > 0 {
			t.Errorf("when the renewal is due: got %v and %d lines logged, want none", got, log.count("\n"))
		}
		<-time.After(life / 3)
		synctest.Wait()
		if got := h.info(time.Now()).Err; got == nil || log.count("renewal is late") != 1 {
			t.Errorf("at expiry: got %v, logged %d times, want it to be late, logged once", got, log.count("renewal is late"))
		}
		<-time.After(life / 2)
		stop()
		if len(orders) != 2 || orders[0] != 0 || orders[1] < life || orders[1] > life+2*look {
			t.Errorf("orders at %v, want one at once and one at %v", orders, life)
		}
		if info := h.info(time.Now()); info.Err != nil || info.DaysLeft(time.Now()) < 40 {
			t.Errorf("got %+v, want the new certificate", info)
		}
	})
}

func TestTake(t *testing.T) {
	now := time.Now()
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	h := newHolding("a.example")
	for _, tt := range []struct {
		name string
		cert *tls.Certificate
		want bool
	}{
		{"expired", certificate(t, "a.example", at(-9), at(-8)), false},
		{"not yet valid", certificate(t, "a.example", at(1), at(8)), false},
		{"another host's", certificate(t, "b.example", at(-1), at(8)), false},
		{"the first", certificate(t, "a.example", at(-3), at(80)), true},
		{"an older one", certificate(t, "a.example", at(-4), at(90)), false},
		{"a newer one with a shorter life", certificate(t, "a.example", at(-2), at(8)), true},
	} {
		if got := h.take(tt.cert, now); got != tt.want {
			t.Errorf("%s: taken %v, want %v", tt.name, got, tt.want)
		}
		if tt.want && h.cert.Load() != tt.cert {
			t.Errorf("%s is not in hand", tt.name)
		}
	}
}

func TestRenewalDue(t *testing.T) {
	issued := time.Now()
	const day = 24 * time.Hour
	for _, tt := range []struct{ life, due, late time.Duration }{
		{90 * day, 60 * day, 66 * day},
		{6 * day, 4 * day, 4*day + 2*day/5},
		{398 * day, 368 * day, 374 * day},
	} {
		due, late := renewalDue(&x509.Certificate{NotBefore: issued, NotAfter: issued.Add(tt.life)})
		if due.Sub(issued) != tt.due || late.Sub(issued) != tt.late {
			t.Errorf("life %v: due after %v and late after %v, want %v and %v", tt.life, due.Sub(issued), late.Sub(issued), tt.due, tt.late)
		}
	}
}
