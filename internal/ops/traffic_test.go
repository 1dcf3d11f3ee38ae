package ops

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// The texts of crypto/tls are not documented, so real handshakes fail here for each
// reason.
func TestHandshakeReasons(t *testing.T) {
	cert := certificate(t)
	serving := tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	nameless := tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, nil //nolint:nilnil // how crypto/tls is told that the name is unknown
	}}
	client := func(change func(*tls.Config)) func(net.Conn) {
		c := &tls.Config{InsecureSkipVerify: true, ServerName: "x.example"}
		change(c)
		return func(conn net.Conn) { _ = tls.Client(conn, c).HandshakeContext(context.Background()) }
	}
	for _, tc := range []struct {
		name   string
		server *tls.Config
		client func(net.Conn)
		want   string
	}{
		{"leaves", &serving, func(c net.Conn) { _ = c.Close() }, "closed"},
		{"resets", &serving, func(c net.Conn) {
			_, _ = c.Write([]byte{22})
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}, "closed"},
		{"sends nothing", &serving, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, "timeout"},
		{"speaks HTTP", &serving, func(c net.Conn) { _, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, "not_tls"},
		{"speaks nonsense", &serving, func(c net.Conn) { _, _ = c.Write(make([]byte, 100)) }, "not_tls"},
		{"is too old", &serving, client(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), "version"},
		{"knows only RSA", &serving, client(func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}), "cipher"},
		{"trusts nobody", &serving, client(func(c *tls.Config) { c.InsecureSkipVerify = false }), "refused_by_client"},
		{"asks for another name", &nameless, client(func(*tls.Config) {}), "unknown_name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bound := time.Minute
			if tc.want == "timeout" {
				bound = time.Millisecond
			}
			err := failedHandshake(t, tc.server, tc.client, bound)
			if got := handshakeReason("http: TLS handshake error from [2001:db8::1]:4711: " + err.Error()); got != tc.want {
				t.Errorf("the error %q: got reason %s, want %s", err, got, tc.want)
			}
		})
	}
	for text, want := range map[string]string{"": Other, "tls: something new": Other, os.ErrDeadlineExceeded.Error(): "timeout"} {
		if got := handshakeReason(text); got != want {
			t.Errorf("the error %q: got reason %s, want %s", text, got, want)
		}
	}
}

// failedHandshake returns the error of a server with this bound on a handshake.
func failedHandshake(t *testing.T, config *tls.Config, client func(net.Conn), bound time.Duration) error {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		client(conn)
		_, _ = conn.Read(make([]byte, 1)) // until the server has answered
		_ = conn.Close()
	}()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	err = tls.Server(conn, config).HandshakeContext(t.Context())
	_ = conn.Close()
	<-done
	if err == nil {
		t.Fatal("the handshake succeeds")
	}
	return err
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
