package tlscert_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// trusting is a client that trusts the one certificate and asks for localhost.
func trusting(source *tlscert.SelfSigned) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(source.Leaf())
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

func TestSelfSignedNames(t *testing.T) {
	source, err := tlscert.NewSelfSigned([]string{"a.example", "192.0.2.1", "2001:db8::1", "localhost", "a.example"}, time.Now())
	must(t, err)
	want := []string{"localhost", "a.example", "127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"}
	if got := source.Certificates()[0].Names; !slices.Equal(got, want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
	config := tlscert.Config(tls.VersionTLS12, source.GetCertificate)
	for _, name := range want { // an address is verified but not sent
		client := trusting(source)
		client.ServerName = name
		if _, err := handshake(t, client, config); err != nil {
			t.Errorf("handshake for %s: %v", name, err)
		}
	}
	client := trusting(source)
	client.ServerName = "b.example"
	if _, err := handshake(t, client, config); !isUnrecognizedName(err) {
		t.Errorf("handshake for an unknown name: got %v, want unrecognized_name", err)
	}
}

// Without hosts the service answers to any name, and the source serves any name too.
func TestSelfSignedWithoutHostsServesAnyName(t *testing.T) {
	source, err := tlscert.NewSelfSigned(nil, time.Now())
	must(t, err)
	client := &tls.Config{ServerName: "my-laptop", InsecureSkipVerify: true}
	if _, err := handshake(t, client, tlscert.Config(tls.VersionTLS12, source.GetCertificate)); err != nil {
		t.Errorf("got %v, want success", err)
	}
}

func TestSelfSignedIsForServersAndNoAuthority(t *testing.T) {
	now := time.Now()
	source, err := tlscert.NewSelfSigned(nil, now)
	must(t, err)
	leaf := source.Leaf()
	if leaf.IsCA || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("got CA %v and extended key usages %v, want neither a CA nor more than serverAuth", leaf.IsCA, leaf.ExtKeyUsage)
	}
	if limit := 398 * 24 * time.Hour; leaf.NotAfter.Sub(leaf.NotBefore) > limit {
		t.Errorf("lasts %v, want at most %v", leaf.NotAfter.Sub(leaf.NotBefore), limit)
	}
	if got := source.Certificates()[0].DaysLeft(now); got != 396 {
		t.Errorf("days left: got %d, want 396", got)
	}
}

// The two functions print what openssl prints.
func TestFingerprintAndPin(t *testing.T) {
	source, err := tlscert.NewSelfSigned(nil, time.Now())
	must(t, err)
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl")
	}
	name := filepath.Join(t.TempDir(), "cert.pem")
	write(t, name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: source.Leaf().Raw}))
	run := func(script string) string {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", script, openssl, name).Output()
		must(t, err)
		return strings.TrimSpace(string(out))
	}
	_, want, _ := strings.Cut(run(`"$0" x509 -in "$1" -noout -fingerprint -sha256`), "=")
	if got := tlscert.Fingerprint(source.Leaf()); got != want {
		t.Errorf("Fingerprint: got %s, openssl says %s", got, want)
	}
	want = "sha256//" + run(`"$0" x509 -in "$1" -noout -pubkey | "$0" pkey -pubin -outform der | "$0" dgst -sha256 -binary | "$0" base64`)
	if got := tlscert.Pin(source.Leaf()); got != want {
		t.Errorf("Pin: got %s, openssl says %s", got, want)
	}
}

// A client with the pin needs nothing else, and one with another pin refuses.
func TestCurlTakesThePin(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl")
	}
	source, err := tlscert.NewSelfSigned(nil, time.Now())
	must(t, err)
	other, err := tlscert.NewSelfSigned(nil, time.Now())
	must(t, err)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	config := tlscert.Config(tls.VersionTLS12, source.GetCertificate)
	config.NextProtos = []string{"http/1.1"} // all that a listener's own TLS leads to
	server.Listener = tls.NewListener(server.Listener, config)
	server.Start()
	t.Cleanup(server.Close)
	url := "https://localhost:" + strconv.Itoa(port(server.Listener))
	for pin, want := range map[string]int{tlscert.Pin(source.Leaf()): 0, tlscert.Pin(other.Leaf()): 90} {
		cmd := exec.CommandContext(t.Context(), curl, "--silent", "--insecure", "--pinnedpubkey", pin, url)
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("curl with the pin %s: exit %d, want %d", pin, got, want)
		}
	}
}

func TestDaysLeft(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		left time.Duration
		want int
	}{
		{48 * time.Hour, 2},
		{48*time.Hour - time.Nanosecond, 1},
		{time.Hour, 0},
		{0, 0},
		{-time.Second, -1},
		{-25 * time.Hour, -2},
	} {
		if got := (tlscert.Info{NotAfter: now.Add(tt.left)}).DaysLeft(now); got != tt.want {
			t.Errorf("%v left: got %d days, want %d", tt.left, got, tt.want)
		}
	}
}
