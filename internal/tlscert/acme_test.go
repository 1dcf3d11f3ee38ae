package tlscert_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// site is a service with ACME. Its listeners are open before there is a CA, which
// has to know their ports.
type site struct {
	t         testing.TB
	tls, http net.Listener
	config    tlscert.ACMEConfig
	log       recorder
	acme      *tlscert.ACME
	stop      func() // ends Run and waits for it
}

func newSite(t testing.TB, hosts ...string) *site {
	t.Helper()
	s := &site{t: t, config: tlscert.ACMEConfig{Hosts: hosts, CacheDir: filepath.Join(t.TempDir(), "acme")}, stop: func() {}}
	for _, l := range []*net.Listener{&s.tls, &s.http} {
		var err error
		*l, err = net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
	}
	return s
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// use says which CA to order from.
func (s *site) use(c *ca) {
	s.config.Directory, s.config.CAFile = c.directory, c.caFile
}

// serve answers on the listeners until the test ends, and orders until then or
// until stop. HTTP-01 challenges are answered only with withHTTP.
func (s *site) serve(withHTTP bool) {
	s.t.Helper()
	var err error
	s.acme, err = tlscert.NewACME(s.config, s.log.logger())
	must(s.t, err)
	must(s.t, s.acme.Prepare())
	config := tlscert.Config(tls.VersionTLS12, s.acme.GetCertificate)
	config.NextProtos = append(config.NextProtos, tlscert.ACMEProtocol)
	accept(s.t, s.tls, config)
	if withHTTP {
		server := httptest.NewUnstartedServer(s.acme.HTTPHandler(http.NotFoundHandler()))
		must(s.t, server.Listener.Close())
		server.Listener = s.http
		server.Start()
		s.t.Cleanup(server.Close)
	}
	s.run()
}

// run orders until stop is called or the test ends.
func (s *site) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.acme.Run(ctx)
		close(done)
	}()
	s.stop = func() {
		cancel()
		<-done
	}
	s.t.Cleanup(func() {
		s.stop()
		if s.t.Failed() {
			s.t.Logf("log of the service of %q:\n%s", s.config.Hosts, s.log.take())
		}
	})
}

// dial shakes hands as a client that trusts c and asks for host.
func (s *site) dial(c *ca, host string) (tls.ConnectionState, error) {
	return dial(s.t.Context(), s.tls.Addr().String(), &tls.Config{RootCAs: c.roots, ServerName: host})
}

// info returns the Info of host.
func (s *site) info(host string) tlscert.Info {
	for _, info := range s.acme.Certificates() {
		if info.Source == host {
			return info
		}
	}
	s.t.Fatalf("Certificates does not have %s", host)
	return tlscert.Info{}
}

// obtained waits for host's certificate.
func (s *site) obtained(host string) {
	s.t.Helper()
	until(s.t, "the certificate of "+host, func() bool { return !s.info(host).NotAfter.IsZero() })
}

// failed waits for an error about host that contains what.
func (s *site) failed(host, what string) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("%s to fail for %q", host, what), func() bool {
		err := s.info(host).Err
		return err != nil && strings.Contains(err.Error(), what)
	})
}

func TestACMEIssues(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "a.example", "b.example")
			o := caOptions{tlsPort: port(s.tls)}
			if challenge == "http-01" {
				o = caOptions{httpPort: port(s.http)}
			}
			c := startCA(t, o)
			s.use(c)
			s.serve(challenge == "http-01")
			for _, host := range s.config.Hosts {
				s.obtained(host)
				state, err := s.dial(c, host)
				must(t, err)
				if got := state.PeerCertificates[0].PublicKeyAlgorithm; got != x509.ECDSA {
					t.Errorf("%s: got an %v certificate, want ECDSA", host, got)
				}
				if info := s.info(host); info.Err != nil || info.DaysLeft(time.Now()) != 89 || len(info.Names) != 1 || !strings.Contains(info.Issuer, "Pebble") {
					t.Errorf("%s: got %+v", host, info)
				}
			}
			s.refusesOthers(c)
			s.guardsItsCache()
		})
	}
}

// refusesOthers checks that other names get unrecognized_name, also in challenges.
func (s *site) refusesOthers(c *ca) {
	s.t.Helper()
	for _, name := range []string{"", "c.example", "x.a.example", "127.0.0.1"} {
		for _, protos := range [][]string{nil, {tlscert.ACMEProtocol}} {
			client := &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protos}
			if _, err := dial(s.t.Context(), s.tls.Addr().String(), client); !isUnrecognizedName(err) {
				s.t.Errorf("server name %q, protocols %q: got %v, want unrecognized_name", name, protos, err)
			}
		}
	}
	if _, err := s.dial(c, "A.EXAMPLE"); err != nil {
		s.t.Errorf("a name in upper case: %v", err)
	}
	rsaOnly := &tls.Config{RootCAs: c.roots, ServerName: "a.example", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	if _, err := dial(s.t.Context(), s.tls.Addr().String(), rsaOnly); err == nil {
		s.t.Error("a client without ECDSA got a certificate, which cost an order")
	}
	// A challenge that is not set is refused for a host of ours, too.
	client := &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{tlscert.ACMEProtocol}}
	if _, err := dial(s.t.Context(), s.tls.Addr().String(), client); err == nil {
		s.t.Error("a challenge that is not set is answered")
	}
}

// guardsItsCache checks that no other user can read the keys.
func (s *site) guardsItsCache() {
	s.t.Helper()
	must(s.t, filepath.Walk(s.config.CacheDir, func(name string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			s.t.Errorf("%s has mode %v, want nothing for others", name, info.Mode())
		}
		return err
	}))
	if log := s.log.take(); strings.Contains(log, "PRIVATE KEY") {
		s.t.Errorf("the log holds a key: %s", log)
	}
}

// Until there is a certificate a handshake fails at once, without a request to the
// CA. Certificates and the log say why.
func TestACMEWithTheCADownAtStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls)})
	c.gate.cut()
	s.use(c)
	s.serve(false)
	s.failed("a.example", c.gate.listener.Addr().String())
	if info := s.info("a.example"); !info.NotAfter.IsZero() {
		t.Errorf("got %+v, want no certificate", info)
	}
	if _, err := s.dial(c, "a.example"); err == nil {
		t.Error("a handshake succeeded without a certificate")
	}
	if log := s.log.take(); !strings.Contains(log, "certificate order failed") || !strings.Contains(log, "retry_in=1m0s") {
		t.Errorf("the log does not say so: %s", log)
	}
	c.gate.mend()
	s.acme.Reload() // an operator's signal; otherwise in a minute
	s.obtained("a.example")
	if _, err := s.dial(c, "a.example"); err != nil {
		t.Errorf("after the CA came back: %v", err)
	}
}

// Certificates are replaced twice while clients connect that verify them. They last
// a minute: a third of that is for the renewal, which takes seconds on a busy machine.
func TestACMERenewsUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a certificate to expire")
	}
	t.Parallel()
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls), validity: time.Minute})
	s.use(c)
	s.serve(false)
	s.obtained("a.example")
	var clients sync.WaitGroup
	var count atomic.Int64
	var enough atomic.Bool
	for range 2 {
		clients.Go(func() {
			for !enough.Load() {
				if _, err := s.dial(c, "a.example"); err != nil {
					t.Errorf("handshake: %v", err)
				}
				count.Add(1)
			}
		})
	}
	for range 2 {
		before := s.info("a.example").NotAfter
		until(t, "a renewal", func() bool { return s.info("a.example").NotAfter.After(before) })
	}
	enough.Store(true)
	clients.Wait()
	t.Logf("%d handshakes", count.Load())
}

// The current certificate is served while the CA is away, with the reason. When it
// has expired a new one is ordered.
func TestACMEWithTheCADownAtRenewal(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a certificate to expire")
	}
	t.Parallel()
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls), validity: 30 * time.Second})
	s.use(c)
	s.serve(false)
	s.obtained("a.example")
	c.gate.cut()
	s.failed("a.example", "renewal failed")
	if _, err := s.dial(c, "a.example"); err != nil {
		t.Errorf("with the CA down: %v", err)
	}
	until(t, "the expiry", func() bool { return s.info("a.example").DaysLeft(time.Now()) < 0 })
	if _, err := s.dial(c, "a.example"); err == nil {
		t.Error("a client verified an expired certificate")
	}
	c.gate.mend()
	s.acme.Reload()
	until(t, "a new certificate", func() bool { return s.info("a.example").DaysLeft(time.Now()) >= 0 })
	if _, err := s.dial(c, "a.example"); err != nil {
		t.Errorf("after the CA came back: %v", err)
	}
}

// The certificate is renewed while the cache cannot be used, and the new one is served.
func TestACMERenewsWithTheCacheGone(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a certificate to expire")
	}
	t.Parallel()
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls), validity: 30 * time.Second})
	s.use(c)
	s.serve(false)
	s.obtained("a.example")
	must(t, os.Rename(s.config.CacheDir, s.config.CacheDir+".away"))
	write(t, s.config.CacheDir, nil) // where a directory was
	before := s.info("a.example").NotAfter
	until(t, "a renewal", func() bool { return s.info("a.example").NotAfter.After(before) })
	if _, err := s.dial(c, "a.example"); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	s.failed("a.example", "write the cache")
}

// A stale nonce is normal in the protocol (RFC 8555, section 6.5).
func TestACMEWithNoncesRejected(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls), nonceReject: 40})
	s.use(c)
	s.serve(false)
	s.obtained("a.example")
}

// One name that cannot be validated backs off, and the others get their certificates.
func TestACMEWithANameThatFails(t *testing.T) {
	t.Parallel()
	s := newSite(t, "bad.example", "good.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls), httpPort: port(s.http)})
	c.resolve("bad.example", "127.0.0.2") // where nothing listens
	s.use(c)
	s.serve(true)
	s.obtained("good.example")
	s.failed("bad.example", "http-01 failed: connection: ")
	if log := s.log.take(); !strings.Contains(log, "host=bad.example") || !strings.Contains(log, "retry_in=1m0s") {
		t.Errorf("the log does not say so: %s", log)
	}
	if _, err := s.dial(c, "good.example"); err != nil {
		t.Errorf("the good name: %v", err)
	}
	c.resolve("bad.example", "127.0.0.1")
	s.acme.Reload()
	s.obtained("bad.example")
	if info := s.info("bad.example"); info.Err != nil {
		t.Errorf("after it was mended: %v", info.Err)
	}
}

func TestACMEBindsAnExternalAccount(t *testing.T) {
	t.Parallel()
	key := base64.RawURLEncoding.EncodeToString([]byte("a key that the CA gave the operator"))
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls), eabKeys: map[string]string{"kid-1": key}})
	s.use(c)
	for _, tt := range []struct{ id, key, reason string }{
		{"", "", "externalAccountRequired"},
		{"kid-2", key, "not known to the ACME server"},
		{"kid-1", base64.RawURLEncoding.EncodeToString([]byte("another key")), "unauthorized"},
	} {
		wrong := newSite(t, "a.example")
		wrong.config = s.config
		wrong.config.CacheDir = t.TempDir()
		wrong.bind(tt.id, tt.key)
		wrong.serve(false)
		wrong.failed("a.example", tt.reason)
		wrong.stop()
	}
	s.bind("kid-1", key+"==\n")
	s.serve(false)
	s.obtained("a.example")
}

func (s *site) bind(id, key string) {
	if s.config.EABKeyID = id; id != "" {
		s.config.EABKeyFile = filepath.Join(s.t.TempDir(), "eab")
		write(s.t, s.config.EABKeyFile, []byte(key))
	}
}

// A damaged account key is reported, and not replaced: the operator may need the
// account.
func TestACMEWithADamagedAccountKey(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a.example")
	must(t, os.Mkdir(s.config.CacheDir, 0o700))
	key := filepath.Join(s.config.CacheDir, "acme_account+key")
	write(t, key, []byte("damaged"))
	s.serve(false)
	s.failed("a.example", "account key")
	if data, err := os.ReadFile(key); err != nil || string(data) != "damaged" {
		t.Errorf("the key is now %q (%v)", data, err)
	}
}

// A restart serves from the cache at once, even while the CA is down.
func TestACMERestartsFromTheCache(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls)})
	s.use(c)
	s.serve(false)
	s.obtained("a.example")
	before, err := s.dial(c, "a.example")
	must(t, err)
	s.stop()
	c.gate.cut()

	again := newSite(t, "a.example")
	again.config = s.config
	again.serve(false)
	again.stop() // it is served before anything runs
	again.run()
	after, err := again.dial(c, "a.example")
	must(t, err)
	if !after.PeerCertificates[0].Equal(before.PeerCertificates[0]) {
		t.Error("got another certificate than before the restart")
	}
	if info := again.info("a.example"); info.Err != nil {
		t.Errorf("after the restart: %v", info.Err)
	}
}

// Run ends while an order is under way.
func TestACMEStops(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a.example")
	c := startCA(t, caOptions{tlsPort: port(s.tls), slow: 14 * time.Second})
	s.use(c)
	s.serve(false)
	until(t, "the challenge", func() bool {
		_, err := os.Stat(filepath.Join(s.config.CacheDir, "a.example+token"))
		return err == nil
	})
	started := time.Now()
	s.stop()
	t.Logf("Run returned after %v", time.Since(started))
	if !s.info("a.example").NotAfter.IsZero() {
		t.Error("the order was completed")
	}
}

// The plain HTTP listener answers challenges for the hosts, and passes on the rest.
func TestACMEHTTPHandler(t *testing.T) {
	config := tlscert.ACMEConfig{Hosts: []string{"a.example"}, CacheDir: t.TempDir()}
	must(t, os.Chmod(config.CacheDir, 0o700))
	a, err := tlscert.NewACME(config, discard)
	must(t, err)
	write(t, filepath.Join(config.CacheDir, "a.example"), []byte("a private key"))
	const passedOn = http.StatusTeapot
	handler := a.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(passedOn) }))
	const token = "/.well-known/acme-challenge/token"
	for _, tt := range []struct {
		method, target, host string
		status               int
	}{
		{"GET", token, "a.example", 404},
		{"HEAD", token, "A.example:5002", 404},
		{"GET", "/.well-known/acme-challenge/../../a.example", "a.example", 404},
		{"GET", "/.well-known/acme-challenge/", "a.example", 404},
		{"GET", "/.well-known/acme-challenge/%00", "a.example", 404},
		{"GET", token, "b.example", passedOn},
		{"GET", token, "a.example:x", passedOn},
		{"GET", "/.well-known/acme-challenge", "a.example", passedOn},
		{"GET", "/x", "a.example", passedOn},
		{"POST", token, "a.example", passedOn},
	} {
		r := httptest.NewRequest(tt.method, tt.target, nil)
		r.Host = tt.host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if body := w.Body.String(); w.Code != tt.status || strings.Contains(body, "private") || strings.Contains(body, config.CacheDir) {
			t.Errorf("%s %s, Host %q: got %d %q, want %d", tt.method, tt.target, tt.host, w.Code, body, tt.status)
		}
	}
}

func TestNewACMERefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, []byte("not PEM, not base64url"))
	hosts := []string{"a.example"}
	for name, tt := range map[string]struct {
		config tlscert.ACMEConfig
		reason string
	}{
		"an address":             {tlscert.ACMEConfig{CacheDir: dir, Hosts: []string{"192.0.2.1"}}, "192.0.2.1"},
		"an IPv6 address":        {tlscert.ACMEConfig{CacheDir: dir, Hosts: []string{"2001:db8::1"}}, "2001:db8::1"},
		"an underscore":          {tlscert.ACMEConfig{CacheDir: dir, Hosts: []string{"a_b.example"}}, "a_b.example"},
		"a name without a dot":   {tlscert.ACMEConfig{CacheDir: dir, Hosts: []string{"localhost"}}, "localhost"},
		"directory without TLS":  {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, Directory: "http://a.example/dir"}, "https"},
		"directory is no URL":    {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, Directory: "https://"}, "https"},
		"no CA file":             {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, CAFile: file + "x"}, "no such file"},
		"CA file without PEM":    {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, CAFile: file}, file},
		"EAB without a key":      {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, EABKeyID: "x"}, "both"},
		"EAB without an id":      {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, EABKeyFile: file}, "both"},
		"EAB key file not there": {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, EABKeyID: "x", EABKeyFile: file + "x"}, "no such file"},
		"EAB key not base64url":  {tlscert.ACMEConfig{Hosts: hosts, CacheDir: dir, EABKeyID: "x", EABKeyFile: file}, file},
	} {
		_, err := tlscert.NewACME(tt.config, discard)
		if err == nil || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%s: got %v, want it to say %q", name, err, tt.reason)
		}
		if err != nil && strings.Contains(err.Error(), "not PEM") {
			t.Errorf("%s: %v shows what is in the file", name, err)
		}
	}
}

func TestACMEPreparesItsCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "acme")
	var log recorder
	a, err := tlscert.NewACME(tlscert.ACMEConfig{Hosts: []string{"a.example"}, CacheDir: dir}, log.logger())
	must(t, err)
	if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("NewACME made a directory: %v", err)
	}
	if infos := a.Certificates(); len(infos) != 1 || !infos[0].NotAfter.IsZero() || !strings.Contains(infos[0].Issuer, "letsencrypt.org") {
		t.Errorf("got %+v, want one that is to be ordered from Let's Encrypt", infos)
	}
	must(t, a.Prepare())
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 || log.take() != "" {
		t.Errorf("got mode %v, want 0700 and nothing logged", info.Mode())
	}
	must(t, os.Chmod(dir, 0o755))
	must(t, a.Prepare())
	if got := log.take(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, dir) {
		t.Errorf("the log has no warning of a cache that is open to others: %s", got)
	}
	must(t, os.RemoveAll(dir))
	write(t, dir, nil) // a file
	if err := a.Prepare(); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("the cache is a file: got %v, want an error that names it", err)
	}
}
