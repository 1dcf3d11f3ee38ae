package tlscert_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"messaging_api/internal/tlscert"
)

// recorder is a log that tests read while others write.
type recorder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

// take returns what was logged since it was last called.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.text.Reset()
	return r.text.String()
}

func (r *recorder) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// replace puts other's certificate and key into p's files.
func replace(t testing.TB, p, other tlscert.Pair) {
	t.Helper()
	for to, from := range map[string]string{p.Cert: other.Cert, p.Key: other.Key} {
		data, err := os.ReadFile(from)
		must(t, err)
		write(t, to, data)
	}
}

// servedBy returns the certificate that a client gets that asks for name.
func servedBy(t testing.TB, files *tlscert.Files, name string) *x509.Certificate {
	t.Helper()
	client := &tls.Config{ServerName: name, InsecureSkipVerify: true}
	state, err := handshake(t, client, tlscert.Config(tls.VersionTLS12, files.GetCertificate))
	must(t, err)
	return state.PeerCertificates[0]
}

// A bad replacement of each kind is not served, and is reported.
func TestReloadKeepsTheOldAndSaysWhy(t *testing.T) {
	ca := newAuthority(t)
	key := ecdsaKey(t)
	valid := func(from, to time.Duration) x509.Certificate {
		return x509.Certificate{DNSNames: []string{"a.example"}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)}
	}
	for _, tt := range []struct {
		name   string
		damage func(tlscert.Pair)
		reason string
	}{
		{"expired", func(p tlscert.Pair) { replace(t, p, ca.pair(key, valid(-2*time.Hour, -time.Hour))) }, "expired at"},
		{"not yet valid", func(p tlscert.Pair) { replace(t, p, ca.pair(key, valid(time.Hour, 2*time.Hour))) }, "not valid before"},
		{"certificate without its key", func(p tlscert.Pair) { write(t, p.Cert, first(ca.issue(ecdsaKey(t), names("a.example")))) }, "does not match the key"},
		{"key without its certificate", func(p tlscert.Pair) { write(t, p.Key, second(ca.issue(ecdsaKey(t), names("a.example")))) }, "does not match the key"},
		{"another host's", func(p tlscert.Pair) { replace(t, p, ca.pair(ecdsaKey(t), names("b.example"))) }, "no longer covers the host a.example"},
		{"truncated certificate", func(p tlscert.Pair) { must(t, os.Truncate(p.Cert, 100)) }, "block 1, line 1: has no END line"},
		{"empty key", func(p tlscert.Pair) { must(t, os.Truncate(p.Key, 0)) }, "no private key in PEM form"},
		{"no certificate", func(p tlscert.Pair) { must(t, os.Remove(p.Cert)) }, "no such file"},
		{"no key", func(p tlscert.Pair) { must(t, os.Remove(p.Key)) }, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log recorder
			p := ca.pair(key, names("a.example"))
			files, err := tlscert.NewFiles([]tlscert.Pair{p}, []string{"a.example"}, time.Now(), log.logger())
			must(t, err)
			before := servedBy(t, files, "a.example")

			tt.damage(p)
			files.Reload()
			if !servedBy(t, files, "a.example").Equal(before) {
				t.Error("the old certificate is gone")
			}
			if got := files.Certificates()[0].Err; got == nil || !strings.Contains(got.Error(), tt.reason) {
				t.Errorf("Err: got %v, want %q", got, tt.reason)
			}
			if got := log.take(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, tt.reason) || !strings.Contains(got, p.Cert) {
				t.Errorf("the log does not say %q: %s", tt.reason, got)
			}

			good := ca.pair(ecdsaKey(t), names("a.example"))
			replace(t, p, good)
			files.Reload()
			if servedBy(t, files, "a.example").Equal(before) {
				t.Error("the new certificate is not served")
			}
			if got := files.Certificates()[0].Err; got != nil {
				t.Errorf("Err after the good one: %v", got)
			}
			if got := log.take(); !strings.Contains(got, "certificate replaced") {
				t.Errorf("the log does not say that it was replaced: %s", got)
			}
		})
	}
}

func first(cert, _ []byte) []byte { return cert }
func second(_, key []byte) []byte { return key }

// Run finds a change by itself, and reports a fault once however often it sees it.
func TestRunPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		var log recorder
		p := ca.pair(ecdsaKey(t), names("a.example"))
		files, err := tlscert.NewFiles([]tlscert.Pair{p}, nil, time.Now(), log.logger())
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			files.Run(ctx)
			close(done)
		}()
		polls := func(n int) string {
			<-time.After(time.Duration(n) * 30 * time.Second) // the bubble's time
			synctest.Wait()
			return log.take()
		}
		before := servedBy(t, files, "a.example")
		if got := polls(3); got != "" {
			t.Errorf("logged without a change: %s", got)
		}

		good, err := os.ReadFile(p.Key)
		must(t, err)
		must(t, os.Truncate(p.Key, 0))
		if got := polls(5); strings.Count(got, "\n") != 1 || !strings.Contains(got, "not replaced") {
			t.Errorf("an emptied key: got %s, want one line", got)
		}
		write(t, p.Key, good)
		if got := polls(5); strings.Count(got, "\n") != 1 || !strings.Contains(got, "hold again what is served") {
			t.Errorf("the key is back: got %s, want one line", got)
		}

		replace(t, p, ca.pair(ecdsaKey(t), names("b.example")))
		if got := polls(5); strings.Count(got, "\n") != 1 || !strings.Contains(got, "certificate replaced") {
			t.Errorf("a new pair: got %s, want one line", got)
		}
		if servedBy(t, files, "b.example").Equal(before) {
			t.Error("the new certificate is not served")
		}

		cancel()
		<-done
	})
}

// A certificate that expires is served until its files hold another one.
func TestReloadServesWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newAuthority(t).pair(ecdsaKey(t), x509.Certificate{DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)})
		files, err := tlscert.NewFiles([]tlscert.Pair{p}, nil, time.Now(), discard)
		must(t, err)
		<-time.After(2 * time.Hour) // the bubble's time
		files.Reload()
		if got := files.Certificates()[0]; got.DaysLeft(time.Now()) >= 0 || got.Err != nil {
			t.Errorf("got %d days left and %v, want less than 0 and no error", got.DaysLeft(time.Now()), got.Err)
		}
		servedBy(t, files, "a.example")
	})
}

// Of several certificates for a name, one that has not expired is served.
func TestExpiredCertificatesComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		short := ca.pair(ecdsaKey(t), x509.Certificate{DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)})
		long := ca.pair(rsaKey(t), x509.Certificate{DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(3 * time.Hour)})
		files, err := tlscert.NewFiles([]tlscert.Pair{short, long}, nil, time.Now(), discard)
		must(t, err)
		if got := servedBy(t, files, "a.example").PublicKeyAlgorithm; got != x509.ECDSA {
			t.Errorf("while both are valid: got %v, want ECDSA", got)
		}
		<-time.After(2 * time.Hour) // the bubble's time
		if got := servedBy(t, files, "a.example").PublicKeyAlgorithm; got != x509.RSA {
			t.Errorf("after the ECDSA one expired: got %v, want RSA", got)
		}
	})
}

// A host may move from one pair to another, but not to none.
func TestReloadWithSeveralPairs(t *testing.T) {
	ca := newAuthority(t)
	a, b := ca.pair(ecdsaKey(t), names("a.example", "x.example")), ca.pair(ecdsaKey(t), names("b.example"))
	files, err := tlscert.NewFiles([]tlscert.Pair{a, b}, []string{"a.example", "b.example", "x.example"}, time.Now(), discard)
	must(t, err)

	replace(t, a, ca.pair(ecdsaKey(t), names("a.example")))
	files.Reload()
	if infos := files.Certificates(); infos[0].Err == nil || !strings.Contains(infos[0].Err.Error(), "x.example") || infos[1].Err != nil {
		t.Errorf("a host was taken away: got %v and %v, want the first to name it", infos[0].Err, infos[1].Err)
	}
	servedBy(t, files, "x.example")

	replace(t, b, ca.pair(ecdsaKey(t), names("b.example", "x.example")))
	files.Reload()
	if infos := files.Certificates(); infos[0].Err != nil || infos[1].Err != nil || len(infos[0].Names) != 1 || len(infos[1].Names) != 2 {
		t.Errorf("the host moved: got %+v", infos)
	}
	if got := servedBy(t, files, "x.example").DNSNames[0]; got != "b.example" {
		t.Errorf("x.example is served from %s, want b.example", got)
	}
}

// A pair that no longer covers its host does not delay the renewal of another host.
func TestReloadServesTheRenewalOfAnotherHost(t *testing.T) {
	ca := newAuthority(t)
	a, b := ca.pair(ecdsaKey(t), names("a.example")), ca.pair(ecdsaKey(t), names("b.example"))
	files, err := tlscert.NewFiles([]tlscert.Pair{a, b}, []string{"a.example", "b.example"}, time.Now(), discard)
	must(t, err)
	old := servedBy(t, files, "a.example")
	replace(t, a, ca.pair(ecdsaKey(t), names("a.example")))
	replace(t, b, ca.pair(ecdsaKey(t), names("c.example")))
	files.Reload()
	if servedBy(t, files, "a.example").Equal(old) {
		t.Error("a.example: the old certificate is served")
	}
	servedBy(t, files, "b.example")
	infos := files.Certificates()
	if infos[0].Err != nil || infos[1].Err == nil || !strings.Contains(infos[1].Err.Error(), "no longer covers the host b.example") {
		t.Errorf("got the reasons %v and %v, want none and that of b.example", infos[0].Err, infos[1].Err)
	}
}

// A certificate that is put back can take a host from another pair, which then stays too.
func TestReloadKeepsEveryHost(t *testing.T) {
	ca := newAuthority(t)
	hosts := []string{"a.example", "b.example", "c.example"}
	var pairs []tlscert.Pair
	for _, host := range hosts {
		pairs = append(pairs, ca.pair(ecdsaKey(t), names(host)))
	}
	files, err := tlscert.NewFiles(pairs, hosts, time.Now(), discard)
	must(t, err)
	// Each host moves to the pair before, and a.example to none.
	for i, host := range []string{"b.example", "c.example", "d.example"} {
		replace(t, pairs[i], ca.pair(ecdsaKey(t), names(host)))
	}
	files.Reload()
	for i, host := range hosts {
		servedBy(t, files, host)
		if info := files.Certificates()[i]; info.Names[0] != host || info.Err == nil || !strings.Contains(info.Err.Error(), "no longer covers the host "+host) {
			t.Errorf("pair %d: got %+v, want the old certificate and the reason", i, info)
		}
	}
	// Now each host is in one of the pairs.
	replace(t, pairs[2], ca.pair(ecdsaKey(t), names("a.example")))
	files.Reload()
	for i, host := range hosts {
		servedBy(t, files, host)
		if info := files.Certificates()[i]; info.Err != nil || info.Names[0] == host {
			t.Errorf("pair %d: got %+v, want the new certificate", i, info)
		}
	}
}

// Kubernetes mounts a secret as links to ..data/, which is itself a link that is
// replaced by a rename.
func TestReloadFollowsKubernetes(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	p := tlscert.Pair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	update := func(version string, key crypto.Signer) {
		data := filepath.Join(dir, version)
		must(t, os.Mkdir(data, 0o700))
		certPEM, keyPEM := ca.issue(key, names("a.example"))
		write(t, filepath.Join(data, "tls.crt"), certPEM)
		write(t, filepath.Join(data, "tls.key"), keyPEM)
		must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	update("..1", ecdsaKey(t))
	must(t, os.Symlink("..data/tls.crt", p.Cert))
	must(t, os.Symlink("..data/tls.key", p.Key))
	files, err := tlscert.NewFiles([]tlscert.Pair{p}, nil, time.Now(), discard)
	must(t, err)
	before := servedBy(t, files, "a.example")
	update("..2", ecdsaKey(t))
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	files.Reload()
	if after := servedBy(t, files, "a.example"); after.Equal(before) {
		t.Error("the new certificate is not served")
	}
}

// Twenty swaps of all kinds while clients connect and verify: no handshake fails, and a
// good certificate is served from the reload on.
func TestSwapsUnderLoad(t *testing.T) {
	ca := newAuthority(t)
	p := ca.pair(ecdsaKey(t), names("a.example"))
	files, err := tlscert.NewFiles([]tlscert.Pair{p}, []string{"a.example"}, time.Now(), discard)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var polls sync.WaitGroup
	polls.Go(func() { // finds half-written states
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for ctx.Err() == nil {
			files.Reload()
			<-ticker.C
		}
	})
	address := listen(t, tlscert.Config(tls.VersionTLS12, files.GetCertificate))
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "a.example"}

	var count atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if _, err := dial(ctx, address, client); err != nil && ctx.Err() == nil {
					t.Errorf("handshake: %v", err)
				}
				count.Add(1)
			}
		})
	}

	expired := ca.pair(ecdsaKey(t), x509.Certificate{DNSNames: []string{"a.example"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	otherKey := second(ca.issue(ecdsaKey(t), names("a.example")))
	swaps := []func(){
		func() { replace(t, p, ca.pair(ecdsaKey(t), names("a.example"))) },
		func() { replace(t, p, expired) },
		func() { write(t, p.Key, otherKey) },
		func() { must(t, os.Truncate(p.Cert, 64)) },
		func() { writeSlowly(t, ca.pair(ecdsaKey(t), names("a.example")), p) },
	}
	for i := range 20 {
		started := count.Load()
		swaps[i%len(swaps)]()
		files.Reload()
		state, err := dial(ctx, address, client)
		must(t, err)
		good := i%len(swaps) == 0 || i%len(swaps) == 4
		if err := files.Certificates()[0].Err; good != (err == nil) {
			t.Errorf("swap %d: got %v, want an error: %v", i, err, !good)
		}
		if good && state.PeerCertificates[0].SerialNumber.Cmp(serial(t, p)) != 0 {
			t.Errorf("swap %d: the new certificate is not served", i)
		}
		until(t, fmt.Sprintf("handshakes after swap %d", i), func() bool { return count.Load() > started+20 })
	}
	cancel()
	clients.Wait()
	polls.Wait()
	t.Logf("%d handshakes", count.Load())
}

// writeSlowly copies a pair into p's files a few bytes at a time.
func writeSlowly(t testing.TB, from, p tlscert.Pair) {
	t.Helper()
	for name, source := range map[string]string{p.Cert: from.Cert, p.Key: from.Key} {
		data, err := os.ReadFile(source)
		must(t, err)
		f, err := os.Create(name)
		must(t, err)
		for len(data) > 0 {
			n := min(len(data), 16)
			_, err := f.Write(data[:n])
			must(t, err)
			data = data[n:]
		}
		must(t, f.Close())
	}
}

// serial returns the serial number of the certificate in p's file.
func serial(t testing.TB, p tlscert.Pair) *big.Int {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	must(t, err)
	return pair.Leaf.SerialNumber
}
