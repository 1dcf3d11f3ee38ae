package tlscert_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// authority is a certificate authority that exists for one test.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "test authority"},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(24 * 365 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{t, key, cert}
}

// pem is the authority's own certificate.
func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// pool trusts the authority.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue signs what template asks for, valid for a day around now unless it
// says otherwise, and returns the PEM of the certificate and of its key.
func (a *authority) issue(key crypto.Signer, template x509.Certificate) (certPEM, keyPEM []byte) {
	a.t.Helper()
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key)
	must(a.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// pair issues to files of a new directory. The chain ends with the authority's
// own certificate.
func (a *authority) pair(key crypto.Signer, template x509.Certificate) tlscert.Pair {
	a.t.Helper()
	certPEM, keyPEM := a.issue(key, template)
	dir := a.t.TempDir()
	p := tlscert.Pair{Cert: filepath.Join(dir, "fullchain.pem"), Key: filepath.Join(dir, "privkey.pem")}
	write(a.t, p.Cert, append(certPEM, a.pem()...))
	write(a.t, p.Key, keyPEM)
	return p
}

func ecdsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	return key
}

func names(dns ...string) x509.Certificate { return x509.Certificate{DNSNames: dns} }

// handshake connects client and server by a pipe and returns the client's state, or
// why the handshake failed.
func handshake(t testing.TB, client, server *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() {
		err := tls.Server(far, server).HandshakeContext(ctx)
		done <- errors.Join(err, far.Close())
	}()
	conn := tls.Client(near, client)
	err := conn.HandshakeContext(ctx)
	if err == nil {
		// In TLS 1.3 the server writes its tickets after the client is done, and a
		// pipe has no buffer.
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the handshake: got %v, want EOF", err)
		}
	}
	must(t, near.Close())
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	return conn.ConnectionState(), err
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(name, data, 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// missing ends a test that needs a program which is not installed. It fails where CI
// is set, and skips otherwise.
func missing(t testing.TB, part string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed, and CI must not pass without it", part)
	}
	t.Skipf("SKIPPED: %s is not installed", part)
}

// listen accepts connections on the returned address, shakes hands, sends a greeting
// and closes, until the test ends.
func listen(t testing.TB, config *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	accept(t, listener, config)
	return listener.Addr().String()
}

func accept(t testing.TB, listener net.Listener, config *tls.Config) {
	t.Helper()
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { greet(tls.Server(conn, config)) })
		}
	})
	t.Cleanup(func() {
		must(t, listener.Close())
		conns.Wait()
	})
}

// greet is the server's side of dial, which reports what fails.
func greet(conn *tls.Conn) {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, "hello")
	_ = conn.Close()
}

// dial shakes hands with a listener and waits for its greeting, so that the server
// is done too.
func dial(ctx context.Context, address string, config *tls.Config) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	_, err = io.ReadAll(conn)
	return conn.(*tls.Conn).ConnectionState(), errors.Join(err, conn.Close())
}

// until waits until ok. A certificate of a minute is renewed after forty seconds.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(3 * time.Minute)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}
