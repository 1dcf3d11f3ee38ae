package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// selfIssued writes a certificate for msg.example with this serial number, and
// its key, over the files of pair.
func selfIssued(t testing.TB, pair tlscert.Pair, serial int64, expires time.Time) {
	t.Helper()
	selfIssuedFor(t, pair, "msg.example", serial, expires)
}

// selfIssuedFor is selfIssued for another host.
func selfIssuedFor(t testing.TB, pair tlscert.Pair, host string, serial int64, expires time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: host}, // curl wants an issuer's name
		DNSNames:     []string{host},
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     expires,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		pair.Cert: {Type: "CERTIFICATE", Bytes: der},
		pair.Key:  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A chainFile has the parts of a certificate's file: the certificate for
// msg.example, and two intermediates, each signed by the next one and the last by
// the root.
type chainFile struct {
	blocks [3][]byte
	root   *x509.CertPool
}

// issue writes fullchain.pem and privkey.pem to dir, valid between from and to.
func issue(t *testing.T, dir string, from, to time.Time) chainFile {
	t.Helper()
	var c chainFile
	var parent *x509.Certificate
	var parentKey *ecdsa.PrivateKey
	for i := 3; i >= 0; i-- { // the root is number 3
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			Subject:               pkix.Name{CommonName: fmt.Sprintf("authority %d", i)},
			NotBefore:             time.Now().Add(-24 * time.Hour),
			NotAfter:              time.Now().Add(24 * time.Hour),
			KeyUsage:              x509.KeyUsageCertSign,
			IsCA:                  true,
			BasicConstraintsValid: true,
		}
		if i == 0 {
			template = &x509.Certificate{DNSNames: []string{"msg.example"}, NotBefore: from, NotAfter: to, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		parentKey = key
		if i == 3 {
			c.root = x509.NewCertPool()
			c.root.AddCert(parent)
			continue
		}
		c.blocks[i] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(parentKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "privkey.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	writeFile(t, filepath.Join(dir, "fullchain.pem"), slices.Concat(c.blocks[:]...))
	return c
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// withPair adds the flags for what issue has written to dir.
func withPair(dir string, args ...string) []string {
	return append([]string{"--tls=files", "--tls-cert=" + filepath.Join(dir, "fullchain.pem"), "--tls-key=" + filepath.Join(dir, "privkey.pem")}, args...)
}

// A chain in which one block begins on the line on which the last one ended, after
// a BOM, is served whole, and clients accept it.
func TestGluedChainIsServedWhole(t *testing.T) {
	dir := t.TempDir()
	c := issue(t, dir, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	writeFile(t, filepath.Join(dir, "fullchain.pem"), slices.Concat([]byte("\ufeff"), c.blocks[0], []byte("\n"), bytes.TrimSpace(c.blocks[1]), c.blocks[2]))
	if code, stdout, stderr := outcome(t, nil, append([]string{"check"}, withPair(dir)...)...); code != 0 {
		t.Errorf("check: got exit %d, %s%s", code, stdout, stderr)
	}
	s := start(t, withPair(dir)...)
	conn, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: "msg.example", RootCAs: c.root})
	if err != nil {
		t.Fatalf("a client that knows the root: %v", err)
	}
	defer func() { _ = conn.Close() }()
	if got := len(conn.ConnectionState().PeerCertificates); got != 3 {
		t.Errorf("%d certificates are sent, want 3", got)
	}
	s.stop()
}

// A damaged chain is refused, by check and by a start, with the place of the
// damage.
func TestDamagedChainIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := issue(t, dir, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	file := filepath.Join(dir, "fullchain.pem")
	writeFile(t, file, slices.Concat(c.blocks[0], bytes.Replace(c.blocks[1], []byte("-----END"), []byte("----END"), 1), c.blocks[2]))
	line := 1 + bytes.Count(c.blocks[0], []byte("\n"))
	for _, command := range []string{"check", "serve"} {
		code, _, stderr := outcome(t, nil, append([]string{command}, withPair(dir)...)...)
		if want := fmt.Sprintf("%s: block 2, line %d: has no END line", file, line); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: got exit %d, %q; want 2 and %q", command, code, stderr, want)
		}
	}
}

// A certificate whose chain leads to no root is served. The log, /readyz and
// check warn of it.
func TestIncompleteChainIsAWarning(t *testing.T) {
	dir := t.TempDir()
	c := issue(t, dir, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	writeFile(t, filepath.Join(dir, "fullchain.pem"), c.blocks[0])
	const want = "authority 1"
	if code, stdout, stderr := outcome(t, nil, append([]string{"check"}, withPair(dir)...)...); code != 0 || !strings.Contains(stdout, "; clients may refuse it: ") || !strings.Contains(stdout, want) {
		t.Errorf("check: got exit %d, %q %q", code, stdout, stderr)
	}
	s := start(t, withPair(dir)...)
	if status, body := s.ready(); status != http.StatusOK || !strings.Contains(body, "clients may refuse it") || !strings.Contains(body, want) {
		t.Errorf("readyz: got %d %s", status, body)
	}
	if log := s.stdout.String(); !strings.Contains(log, "clients may refuse this certificate") {
		t.Errorf("the log has no warning: %s", log)
	}
	s.stop()
}

// The pairs {a}, {b} become {b}, {c}: both hosts are still served.
func TestReloadKeepsEveryHost(t *testing.T) {
	dir := t.TempDir()
	var pairs []tlscert.Pair
	args := []string{"--tls=files"}
	for _, name := range []string{"a", "b"} {
		pair := tlscert.Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
		selfIssuedFor(t, pair, name+".example", 1, time.Now().Add(time.Hour))
		pairs = append(pairs, pair)
		args = append(args, "--host="+name+".example", "--tls-cert="+pair.Cert, "--tls-key="+pair.Key)
	}
	s := start(t, args...)
	selfIssuedFor(t, pairs[0], "b.example", 2, time.Now().Add(time.Hour))
	selfIssuedFor(t, pairs[1], "c.example", 3, time.Now().Add(time.Hour))
	s.signal(syscall.SIGHUP)
	eventually(t, time.Minute, "the reload", func() bool { return strings.Count(s.stdout.String(), "certificate not replaced") == 2 })
	for _, name := range []string{"a.example", "b.example"} {
		conn, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("%s after the reload: %v", name, err)
			continue
		}
		_ = conn.Close()
	}
	s.stop()
}

// check says what would be ordered, and leaves nothing behind.
func TestCheckWithACMEWritesNothing(t *testing.T) {
	there := t.TempDir()
	for _, cache := range []string{there, filepath.Join(there, "none", "acme")} {
		code, stdout, stderr := outcome(t, nil, "check", "--tls=acme", "--host=msg.example", "--acme-cache="+cache, "--acme-directory=https://ca.example/dir")
		if code != 0 || !strings.Contains(stdout, "certificate msg.example: there is none yet; the service orders one from https://ca.example/dir\n") {
			t.Errorf("check: got exit %d, %q %q", code, stdout, stderr)
		}
	}
	if files, err := os.ReadDir(there); err != nil || len(files) > 0 {
		t.Errorf("check left %v in the cache (%v)", files, err)
	}
}

// served returns the serial number of the certificate that a new connection
// gets.
func (s *service) served() (int64, error) {
	conn, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: "msg.example", InsecureSkipVerify: true})
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func startWithFiles(t *testing.T, args ...string) (*service, tlscert.Pair) {
	t.Helper()
	dir := t.TempDir()
	pair := tlscert.Pair{Cert: filepath.Join(dir, "fullchain.pem"), Key: filepath.Join(dir, "privkey.pem")}
	selfIssued(t, pair, 1, time.Now().Add(time.Hour))
	return start(t, append([]string{"--tls=files", "--host=msg.example", "--tls-cert=" + pair.Cert, "--tls-key=" + pair.Key}, args...)...), pair
}

// Twenty swaps of the files, most of them bad, each followed by a SIGHUP, while
// handshakes go on: none fails, and a good certificate serves at once.
func TestCertificateSwapsUnderLoad(t *testing.T) {
	s, pair := startWithFiles(t)
	var wg sync.WaitGroup
	var stop atomic.Bool
	var handshakes atomic.Int64
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if _, err := s.served(); err != nil {
					t.Errorf("a handshake during the swaps: %v", err)
					return
				}
				handshakes.Add(1)
			}
		})
	}
	good := int64(1)
	for i := range int64(20) {
		serial := 100 + i
		switch i % 5 {
		case 0:
			selfIssued(t, pair, serial, time.Now().Add(time.Hour))
			good = serial
		case 1:
			selfIssued(t, pair, serial, time.Now().Add(-time.Hour)) // expired
		case 2:
			selfIssued(t, tlscert.Pair{Cert: pair.Cert, Key: filepath.Join(t.TempDir(), "other")}, serial, time.Now().Add(time.Hour)) // mismatched
		case 3:
			whole, err := os.ReadFile(pair.Cert)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(pair.Cert, whole[:len(whole)/2], 0o600); err != nil { // truncated
				t.Fatal(err)
			}
		case 4:
			if err := os.WriteFile(pair.Key, nil, 0o600); err != nil { // about to be written
				t.Fatal(err)
			}
		}
		before := strings.Count(s.stdout.String(), `"reload"`)
		s.signal(syscall.SIGHUP)
		eventually(t, time.Minute, "the reload", func() bool { return strings.Count(s.stdout.String(), `"reload"`) > before })
		eventually(t, time.Minute, fmt.Sprintf("swap %d: the last good certificate, %d, serves", i, good), func() bool {
			serial, err := s.served()
			return err == nil && serial == good
		})
	}
	stop.Store(true)
	wg.Wait()
	eventually(t, time.Minute, "readiness gives the reason of the bad swaps", func() bool {
		status, body := s.ready()
		return status == http.StatusOK && strings.Contains(body, "has no END line")
	})
	t.Logf("%d handshakes, none failed", handshakes.Load())
	s.stop()
}

func TestServerNames(t *testing.T) {
	s, _ := startWithFiles(t)
	_, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: "other.example", InsecureSkipVerify: true})
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: unrecognized name") {
		t.Errorf("an unknown server name: got %v, want the alert unrecognized_name", err)
	}
	for _, c := range []struct {
		sni, host string
		want      int
	}{
		{"msg.example", "msg.example", http.StatusOK},
		{"msg.example", "MSG.example.:443", http.StatusOK},
		{"", "msg.example", http.StatusOK},
		{"msg.example", "other.example", http.StatusMisdirectedRequest},
		{"", "other.example", http.StatusMisdirectedRequest},
	} {
		conn, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: c.sni, InsecureSkipVerify: true})
		if err != nil {
			t.Fatalf("server name %q: %v", c.sni, err)
		}
		if status := ask(t, conn, "GET / HTTP/1.1\r\nHost: "+c.host+"\r\nConnection: close\r\n\r\n").StatusCode; status != c.want {
			t.Errorf("server name %q, Host %q: got %d, want %d", c.sni, c.host, status, c.want)
		}
	}
	s.stop()

	// Without --host a name and a Host that disagree are still refused.
	s = start(t)
	conn, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if status := ask(t, conn, "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n").StatusCode; status != http.StatusMisdirectedRequest {
		t.Errorf("server name a.example, Host b.example: got %d, want 421", status)
	}
	s.stop()
}

// ask writes a request as it is and reads one answer, whole.
func ask(t *testing.T, conn net.Conn, request string) *http.Response {
	t.Helper()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	_ = answer.Body.Close()
	answer.Body = io.NopCloser(strings.NewReader(string(body)))
	return answer
}

// The plain listener redirects to the service's own name and does nothing else,
// whatever the request line says.
func TestPlainListener(t *testing.T) {
	s, _ := startWithFiles(t, "--listen-http=127.0.0.1:0")
	public, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: "msg.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	link := ask(t, public, "POST / HTTP/1.1\r\nHost: msg.example\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nsecret text").Header.Get("Location")
	if link == "" {
		t.Fatal("no link for a message")
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(link, "https://"), "/")
	for _, c := range []struct {
		name, request string
		status        int
		location      string
	}{
		{"a path and a query", "GET /msg/x?y=1 HTTP/1.1\r\nHost: msg.example\r\n\r\n", 308, "https://msg.example/msg/x?y=1"},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: msg.example\r\n\r\n", 308, "https://msg.example/"},
		{"a real link", "GET /" + path + " HTTP/1.1\r\nHost: msg.example\r\n\r\n", 308, "https://msg.example/" + path},
		{"a foreign host", "GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 308, "https://msg.example/x"},
		{"an absolute target", "GET http://evil.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 308, "https://msg.example/x"},
		{"an absolute https target", "GET https://msg.example/" + path + " HTTP/1.1\r\nHost: msg.example\r\n\r\n", 308, "https://msg.example/" + path},
		{"two slashes", "GET //evil.example HTTP/1.1\r\nHost: msg.example\r\n\r\n", 308, "https://msg.example//evil.example"},
		{"header injection", "GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: msg.example\r\n\r\n", 308, "https://msg.example/%0d%0aSet-Cookie:%20a=b"},
		{"POST", "POST / HTTP/1.1\r\nHost: msg.example\r\nContent-Length: 2\r\n\r\nhi", 405, ""},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: msg.example\r\n\r\n", 405, ""},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 405, ""},
		{"a challenge without ACME", "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: msg.example\r\n\r\n", 308, "https://msg.example/.well-known/acme-challenge/x"},
		{"a malformed request", "GET / HTTP/1.1\r\nHost: msg.example\r\nbroken\r\n\r\n", 400, ""},
		{"HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405, ""},
	} {
		conn, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		answer := ask(t, conn, c.request)
		if answer.StatusCode != c.status || answer.Header.Get("Location") != c.location {
			t.Errorf("%s: got %d to %q, want %d to %q", c.name, answer.StatusCode, answer.Header.Get("Location"), c.status, c.location)
		}
		body, _ := io.ReadAll(answer.Body)
		if strings.Contains(string(body), "secret text") {
			t.Errorf("%s: the application answers", c.name)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Strict-Transport-Security": "", // RFC 6797, section 7.2
			"Set-Cookie":                "", "Server": "",
		} {
			if got := strings.Join(answer.Header[name], " and "); got != want {
				t.Errorf("%s: %s is %q, want %q", c.name, name, got, want)
			}
		}
		if answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no X-Request-Id", c.name)
		}
	}
	if log := s.stdout.String(); strings.Contains(log, path) || strings.Contains(log, "evil") {
		t.Errorf("the log holds a path or a host of a request: %s", log)
	}
	s.stop()
}

func TestTLSMin(t *testing.T) {
	s := start(t, "--tls-min=1.3")
	if _, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 works with --tls-min 1.3")
	}
	if _, err := s.post(client(2), "x"); err != nil {
		t.Errorf("TLS 1.3: %v", err)
	}
	s.stop()
}
