package tlscert_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

var discard = slog.New(slog.DiscardHandler)

func TestFilesRefuses(t *testing.T) {
	ca := newAuthority(t)
	now := time.Now()
	key := ecdsaKey(t)
	good, goodKey := ca.issue(key, names("a.example"))
	other, otherKey := ca.issue(ecdsaKey(t), names("a.example"))
	expired, _ := ca.issue(key, x509.Certificate{DNSNames: []string{"a.example"}, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})
	future, _ := ca.issue(key, x509.Certificate{DNSNames: []string{"a.example"}, NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)})
	nameless, _ := ca.issue(key, names())
	garbled := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no certificate")})
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	garbledKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("no key")})
	for _, tt := range []struct {
		name      string
		cert, key []byte // nil: no such file
		hosts     []string
		blame     string // the file; empty for none
		reason    string
	}{
		{"no certificate file", nil, goodKey, nil, "cert.pem", "no such file"},
		{"no key file", good, nil, nil, "key.pem", "no such file"},
		{"empty certificate", []byte{}, goodKey, nil, "cert.pem", "no certificate in PEM form"},
		{"key for a certificate", goodKey, goodKey, nil, "cert.pem", "no certificate in PEM form"},
		{"garbled certificate", garbled, goodKey, nil, "cert.pem", "malformed"},
		{"truncated certificate", good[:len(good)/2], goodKey, nil, "cert.pem", "block 1, line 1: has no END line"},
		{"garbled intermediate", append(bytes.Clone(good), garbled...), goodKey, nil, "cert.pem", "malformed"},
		{"empty key", good, []byte{}, nil, "key.pem", "no private key in PEM form"},
		{"certificate for a key", good, good, nil, "key.pem", "no private key in PEM form"},
		{"encrypted key", good, encrypted, nil, "key.pem", "encrypted"},
		{"garbled key", good, garbledKey, nil, "key.pem", "failed to parse private key"},
		{"another key", good, otherKey, nil, "cert.pem", "does not match the key in"},
		{"wrong order", append(bytes.Clone(other), good...), goodKey, nil, "cert.pem", "has to come first"},
		{"expired", expired, goodKey, nil, "cert.pem", "expired at 2"},
		{"not yet valid", future, goodKey, nil, "cert.pem", "not valid before 2"},
		{"no names", nameless, goodKey, nil, "cert.pem", "names no host"},
		{"a host too many", good, goodKey, []string{"a.example", "b.example"}, "", "no certificate covers the host b.example"},
	} {
		dir := t.TempDir()
		p := tlscert.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		if tt.cert != nil {
			write(t, p.Cert, tt.cert)
		}
		if tt.key != nil {
			write(t, p.Key, tt.key)
		}
		_, err := tlscert.NewFiles([]tlscert.Pair{p}, tt.hosts, now, discard)
		if err == nil || tt.blame != "" && !strings.Contains(err.Error(), filepath.Join(dir, tt.blame)) || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%s: got %v, want it to name %s and %q", tt.name, err, tt.blame, tt.reason)
		}
		if timely := tt.name == "expired" || tt.name == "not yet valid"; errors.Is(err, tlscert.ErrNotValidNow) != timely {
			t.Errorf("%s: %v says ErrNotValidNow: want %v", tt.name, err, timely)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q is more than one line", tt.name, err)
		}
	}
}

// Which certificate a hello gets, by its name and by what its client can verify.
func TestFilesChooses(t *testing.T) {
	ca := newAuthority(t)
	modern := &tls.Config{}
	rsaOnly := only(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	pairs := []tlscert.Pair{
		ca.pair(rsaKey(t), x509.Certificate{DNSNames: []string{"a.example", "both.example"}, NotAfter: expiry(1)}),
		ca.pair(ecdsaKey(t), x509.Certificate{DNSNames: []string{"both.example"}, NotAfter: expiry(2)}),
		ca.pair(ecdsaKey(t), x509.Certificate{DNSNames: []string{"*.wild.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: expiry(3)}),
		ca.pair(ecdsaKey(t), x509.Certificate{DNSNames: []string{"one.wild.example"}, NotAfter: expiry(4)}),
	}
	for _, tt := range []struct {
		hosts  []string
		server string // empty: none is sent
		client *tls.Config
		want   int // days that the certificate lasts; 0: unrecognized_name
	}{
		{nil, "a.example", modern, 1},
		{nil, "A.EXAMPLE", modern, 1},
		{nil, "both.example", modern, 2},
		{nil, "both.example", rsaOnly, 1},
		{nil, "two.wild.example", modern, 3},
		{nil, "one.wild.example", modern, 3},
		{nil, "two.one.wild.example", modern, 0},
		{nil, "wild.example", modern, 0},
		{nil, "b.example", modern, 0},
		{nil, "example", modern, 0},
		{nil, "", modern, 1},
		{[]string{"a.example"}, "a.example", modern, 1},
		{[]string{"a.example"}, "both.example", modern, 0}, // covered, but not the service's name
		{[]string{"both.example", "a.example"}, "both.example", modern, 2},
		{[]string{"both.example", "a.example"}, "", modern, 2},
		{[]string{"both.example", "a.example"}, "", rsaOnly, 1},
		{[]string{"x.wild.example"}, "x.wild.example", modern, 3},
		{[]string{"x.wild.example"}, "y.wild.example", modern, 0},
		{[]string{"one.wild.example"}, "one.wild.example", modern, 3}, // either will do
		{[]string{"127.0.0.1"}, "", modern, 3},
	} {
		files, err := tlscert.NewFiles(pairs, tt.hosts, time.Now(), discard)
		must(t, err)
		client := tt.client.Clone()
		client.ServerName, client.InsecureSkipVerify = tt.server, true
		state, err := handshake(t, client, tlscert.Config(tls.VersionTLS12, files.GetCertificate))
		if tt.want == 0 {
			if !isUnrecognizedName(err) {
				t.Errorf("hosts %q, server name %q: got %v, want unrecognized_name", tt.hosts, tt.server, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("hosts %q, server name %q: %v", tt.hosts, tt.server, err)
			continue
		}
		if got := state.PeerCertificates[0].NotAfter; !got.Equal(expiry(tt.want)) {
			t.Errorf("hosts %q, server name %q: got the certificate that expires %v, want %v", tt.hosts, tt.server, got, expiry(tt.want))
		}
	}
}

func TestFilesCertificates(t *testing.T) {
	ca := newAuthority(t)
	a, b := ca.pair(ecdsaKey(t), names("a.example")), ca.pair(rsaKey(t), names("b.example", "*.b.example"))
	files, err := tlscert.NewFiles([]tlscert.Pair{a, b}, []string{"a.example", "b.example"}, time.Now(), discard)
	must(t, err)
	infos := files.Certificates()
	if len(infos) != 2 {
		t.Fatalf("got %d certificates, want 2", len(infos))
	}
	got := infos[1]
	if got.Source != b.Cert || strings.Join(got.Names, " ") != "b.example *.b.example" || got.Issuer != "CN=test authority" || got.Err != nil || got.DaysLeft(time.Now()) != 0 {
		t.Errorf("got %+v", got)
	}
}

// A certificate that most clients refuse is served, with a warning.
func TestFilesWarns(t *testing.T) {
	ca := newAuthority(t)
	key := ecdsaKey(t)
	leaf, keyPEM := ca.issue(key, names("a.example"))
	client, _ := ca.issue(key, x509.Certificate{DNSNames: []string{"a.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	server, _ := ca.issue(key, x509.Certificate{DNSNames: []string{"a.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}})
	for _, tt := range []struct {
		name string
		cert []byte
		want string // empty: no warning
	}{
		{"with the root", append(bytes.Clone(leaf), ca.pem()...), ""},
		{"with another root", append(bytes.Clone(leaf), newAuthority(t).pem()...), "no root"},
		{"without the issuer", leaf, `the issuer "CN=test authority" is neither in the file`},
		{"for clients", append(bytes.Clone(client), ca.pem()...), "lacks serverAuth"},
		{"for clients, without the issuer", client, "lacks serverAuth"},
		{"for servers and clients", append(bytes.Clone(server), ca.pem()...), ""},
	} {
		dir := t.TempDir()
		p := tlscert.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		write(t, p.Cert, tt.cert)
		write(t, p.Key, keyPEM)
		var log strings.Builder
		files, err := tlscert.NewFiles([]tlscert.Pair{p}, nil, time.Now(), slog.New(slog.NewTextHandler(&log, nil)))
		must(t, err)
		got := files.Certificates()[0].Warning
		if !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: got the warning %q, want %q", tt.name, got, tt.want)
		}
		if logged := strings.Contains(log.String(), "level=WARN"); logged != (tt.want != "") {
			t.Errorf("%s: the log has %s", tt.name, log.String())
		}
	}
}

func TestFilesWarnsOfAnExposedKey(t *testing.T) {
	p := newAuthority(t).pair(ecdsaKey(t), names("a.example"))
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		must(t, os.Chmod(p.Key, mode))
		var log strings.Builder
		_, err := tlscert.NewFiles([]tlscert.Pair{p}, nil, time.Now(), slog.New(slog.NewTextHandler(&log, nil)))
		must(t, err)
		if got := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), p.Key); got != warned {
			t.Errorf("mode %o: warned %v, want %v; the log: %s", mode, got, warned, log.String())
		}
	}
}

// hello is the hello of a current client.
func hello(name string) *tls.ClientHelloInfo { return &tls.ClientHelloInfo{ServerName: name} }

// expiry tells certificates apart by when they expire.
func expiry(days int) time.Time {
	return time.Now().Add(time.Duration(days) * 24 * time.Hour).Truncate(24 * time.Hour).UTC()
}

// isUnrecognizedName reports whether the other side sent that alert.
func isUnrecognizedName(err error) bool {
	var alert tls.AlertError
	return errors.As(err, &alert) && alert == 112 || err != nil && strings.Contains(err.Error(), "unrecognized name")
}
