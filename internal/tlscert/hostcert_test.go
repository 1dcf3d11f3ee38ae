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

// certificate makes one for a.example that signs itself.
func certificate(t testing.TB, from, to time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{DNSNames: []string{"a.example"}, NotBefore: from, NotAfter: to}
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
func keeping(h *hostCertificate, log *slog.Logger, order func() (*tls.Certificate, error)) (stop func()) {
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
		h := newHostCertificate("a.example")
		var log lines
		stop := keeping(h, slog.New(slog.NewTextHandler(&log, nil)), func() (*tls.Certificate, error) {
			orders = append(orders, time.Since(begin))
			return nil, errors.New("refused")
		})
		<-time.After(50 * time.Hour)
		synctest.Wait()
		h.retryNow()
		synctest.Wait()
		<-time.After(5 * time.Minute)
		stop()
		h.retryNow()
		h.retryNow() // does not block though keep has returned
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
		if info := h.info(); info.Err == nil || !info.NotAfter.IsZero() {
			t.Errorf("got %+v, want an error and no certificate", info)
		}
	})
}

// A certificate is renewed within the first tenth of its last third. While that
// fails the old one is kept and the reason is told; the tries come often enough
// for a short life, and never more often than four an hour.
func TestKeepRenews(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct{ life, due time.Duration }{{90 * day, 60 * day}, {6 * day, 4 * day}, {398 * day, 368 * day}} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			h := newHostCertificate("a.example")
			first := certificate(t, begin, begin.Add(tt.life))
			h.current.Store(first)
			var mu sync.Mutex // guards orders
			var orders []time.Duration
			ordered := func() []time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(orders)
			}
			var log lines
			stop := keeping(h, slog.New(slog.NewTextHandler(&log, nil)), func() (*tls.Certificate, error) {
				mu.Lock()
				orders = append(orders, time.Since(begin))
				mu.Unlock()
				if time.Since(begin) < tt.life {
					return nil, errors.New("refused")
				}
				return certificate(t, time.Now(), time.Now().Add(tt.life)), nil
			})
			<-time.After(tt.due)
			synctest.Wait()
			if early := ordered(); len(early) > 0 || h.info().Err != nil {
				t.Errorf("life %v: before it is due: got orders at %v and %v, want none", tt.life, early, h.info().Err)
			}
			<-time.After(tt.life - tt.due - time.Minute)
			synctest.Wait()
			if err := h.info().Err; err == nil || !strings.Contains(err.Error(), "renewal failed: refused") || h.current.Load() != first {
				t.Errorf("life %v: before it ends: got %v, want the reason and the old certificate", tt.life, err)
			}
			tries := ordered()
			if latest := tt.due + (tt.life-tt.due)/10 + clockInterval; len(tries) < 10 || tries[0] > latest {
				t.Errorf("life %v: orders at %v, want at least 10, the first by %v", tt.life, tries, latest)
			}
			for i := range max(0, len(tries)-4) {
				if in := tries[i+4] - tries[i]; in < time.Hour-15*time.Minute {
					t.Errorf("life %v: five orders in %v", tt.life, in)
				}
			}
			<-time.After(2 * day)
			stop()
			if info := h.info(); info.Err != nil || h.current.Load() == first || log.count("certificate obtained") != 1 {
				t.Errorf("life %v: afterwards: got %+v, obtained %d times, want one new certificate", tt.life, info, log.count("certificate obtained"))
			}
		})
	}
}

// By a clock that is far ahead each new certificate is due at once. It is not
// ordered over and over again.
func TestKeepOrdersSeldomWithAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		orders := 0
		stop := keeping(newHostCertificate("a.example"), slog.New(slog.DiscardHandler), func() (*tls.Certificate, error) {
			orders++
			return certificate(t, time.Now().Add(-80*day), time.Now().Add(10*day)), nil
		})
		<-time.After(8 * day)
		stop()
		if orders != 1 {
			t.Errorf("%d orders in 8 days, want 1", orders)
		}
	})
}
