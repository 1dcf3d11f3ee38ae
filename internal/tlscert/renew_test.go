package tlscert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
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

// orders does what Run does, from begin to end by a clock of its own. It returns the
// times of the orders, since begin.
func orders(h *hostCertificate, begin, end time.Time, order func(now time.Time) (*tls.Certificate, error)) (at []time.Duration) {
	for now := begin; !now.After(end); now = now.Add(max(h.wait(now), time.Millisecond)) {
		if h.wait(now) > 0 {
			continue
		}
		at = append(at, now.Sub(begin))
		if cert, err := order(now); err != nil {
			h.failed(err, now)
		} else {
			h.obtained(cert, now)
		}
	}
	return at
}

var errRefused = errors.New("refused")

func refused(time.Time) (*tls.Certificate, error) { return nil, errRefused }

func TestOrdersBackOff(t *testing.T) {
	begin := time.Now()
	h := newHostCertificate("a.example")
	if h.current.Load().err == nil {
		t.Error("before the first order: got no error, want one that says so")
	}
	got := orders(h, begin, begin.Add(50*time.Hour), refused)
	want := []time.Duration{0, time.Minute, 11 * time.Minute, 111 * time.Minute, 111*time.Minute + 24*time.Hour, 111*time.Minute + 48*time.Hour}
	if !slices.Equal(got, want) {
		t.Errorf("orders at %v, want %v", got, want)
	}
	if s := h.current.Load(); !errors.Is(s.err, errRefused) || s.cert != nil {
		t.Errorf("got %+v, want the error and no certificate", s)
	}
}

// A certificate is renewed within the first tenth of its last third. While that
// fails the old one stays, with the reason. Retries come often enough for a short
// life, and never more often than four an hour.
func TestRenewals(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct{ life, due time.Duration }{{90 * day, 60 * day}, {6 * day, 4 * day}, {398 * day, 368 * day}} {
		begin := time.Now()
		h := newHostCertificate("a.example")
		first := certificate(t, begin, begin.Add(tt.life))
		h.current.Store(&served{cert: first})
		got := orders(h, begin, begin.Add(tt.life-time.Minute), refused)
		if latest := tt.due + (tt.life-tt.due)/10; len(got) < 10 || got[0] < tt.due-time.Second || got[0] > latest {
			t.Fatalf("life %v: orders at %v, want at least 10, the first from %v to %v", tt.life, got, tt.due, latest)
		}
		for i := range len(got) - 4 {
			if in := got[i+4] - got[i]; in < time.Hour-15*time.Minute {
				t.Errorf("life %v: five orders in %v", tt.life, in)
			}
		}
		if s := h.current.Load(); !errors.Is(s.err, errRefused) || s.cert != first {
			t.Errorf("life %v: before it ends: got %v, want the reason and the old certificate", tt.life, s.err)
		}
		end := begin.Add(tt.life)
		got = orders(h, end, end.Add(2*day), func(now time.Time) (*tls.Certificate, error) {
			return certificate(t, now, now.Add(tt.life)), nil
		})
		if len(got) != 1 || h.current.Load().err != nil || h.current.Load().cert == first {
			t.Errorf("life %v: afterwards: orders at %v and %+v, want one new certificate", tt.life, got, h.current.Load())
		}
	}
}

// By a clock that is far ahead each new certificate is due at once. It is not
// ordered again and again.
func TestOrdersAreFewWithAWrongClock(t *testing.T) {
	const day = 24 * time.Hour
	begin := time.Now()
	got := orders(newHostCertificate("a.example"), begin, begin.Add(8*day), func(now time.Time) (*tls.Certificate, error) {
		return certificate(t, now.Add(-80*day), now.Add(10*day)), nil
	})
	if len(got) != 1 {
		t.Errorf("orders at %v in 8 days, want 1", got)
	}
}
