package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
	"messaging_api/internal/web"
)

// The proxies' configurations in docs/CONFIGURATION.md start as they are printed, except for
// addresses and paths. They pass on the client's address and the name that the links
// carry.
func TestDocumentedProxies(t *testing.T) {
	for _, proxy := range []struct {
		name      string
		configure func(dir, block string) string // prints the whole file
		arguments func(dir, file string) []string
	}{
		{"nginx", func(dir, block string) string {
			var temporary strings.Builder
			for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				temporary.WriteString(kind + "_temp_path " + dir + "/" + kind + ";\n")
			}
			return "daemon off;\nmaster_process off;\npid " + dir + "/pid;\nevents {}\nhttp {\n" + temporary.String() + block + "}\n"
		}, func(dir, file string) []string { return []string{"-e", dir + "/error.log", "-c", file} }},
		{"haproxy", func(_, block string) string { return block },
			func(_, file string) []string { return []string{"-db", "-f", file} }},
	} {
		t.Run(proxy.name, func(t *testing.T) {
			need(t, proxy.name)
			s := startWith(t, nil, "--tls=off", "--trusted-proxy=127.0.0.1/32", "--host=msg.example", "--log-client=whole")
			dir, address := t.TempDir(), freeAddr(t)
			block := proxyCertificate(t, dir, onlyBlock(t, "docs/CONFIGURATION.md", proxy.name))
			_, port, _ := net.SplitHostPort(address)
			for from, to := range map[string]string{"10.0.0.5:8080": s.address, "listen 443 ": "listen " + address + " ", "bind :443 ": "bind " + address + " "} {
				block = strings.ReplaceAll(block, from, to)
			}
			file := filepath.Join(dir, "configuration")
			if err := os.WriteFile(file, []byte(proxy.configure(dir, block)), 0o600); err != nil {
				t.Fatal(err)
			}
			runProxy(t, address, proxy.name, proxy.arguments(dir, file)...)
			visitThrough(t, s, address, port)
		})
	}
}

// proxyCertificate writes the files that the block names, and returns it with their
// new places.
func proxyCertificate(t *testing.T, dir, block string) string {
	t.Helper()
	pair := tlscert.Pair{Cert: filepath.Join(dir, "fullchain.pem"), Key: filepath.Join(dir, "privkey.pem")}
	selfIssued(t, pair, 1, time.Now().Add(time.Hour))
	var both []byte // HAProxy reads one file
	for _, name := range []string{pair.Cert, pair.Key} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(filepath.Join(dir, "haproxy.pem"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(block, "/etc/ssl/msg.example", dir)
}

// runProxy runs a program until the test ends, and waits until it listens.
func runProxy(t *testing.T, address, name string, args ...string) {
	t.Helper()
	output := new(lines)
	command := exec.CommandContext(t.Context(), name, args...)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	eventually(t, time.Minute, name+" listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}

// visitThrough posts and reads a message through a proxy, as clients of two addresses.
// The message is larger than nginx's own bound. An upload that is too large is refused
// each time, with the service's answer.
func visitThrough(t *testing.T, s *service, address, port string) {
	t.Helper()
	text := strings.Repeat("x", 200<<10)
	for _, client := range []string{"127.0.0.77", "127.0.0.78"} {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
		}
		defer transport.CloseIdleConnections()
		c := &http.Client{Transport: transport, Timeout: time.Minute}
		base := "https://msg.example:" + port + "/"
		created, err := c.Post(base, "text/plain", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		_ = created.Body.Close()
		link := created.Header.Get("Location")
		if created.StatusCode != http.StatusOK || created.ProtoMajor != 2 || !strings.HasPrefix(link, base+"msg/") {
			t.Fatalf("POST: got %s over %s and the link %q, want one below %s", created.Status, created.Proto, link, base)
		}
		for range 20 {
			refused, err := c.Post(base, "text/plain", strings.NewReader(text+text))
			if err != nil {
				t.Fatal(err)
			}
			_ = refused.Body.Close()
			if refused.StatusCode != http.StatusRequestEntityTooLarge || refused.Header.Get(web.RequestIDHeader) == "" {
				t.Fatalf("an upload that is too large: got %s, want a 413 of the service", refused.Status)
			}
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "text/plain")
		read, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(read.Body)
		_ = read.Body.Close()
		if err != nil || string(got) != text {
			t.Fatalf("GET: got %s, %d bytes, %v", read.Status, len(got), err)
		}
		eventually(t, time.Minute, "a line with the client "+client, func() bool {
			return strings.Contains(s.stdout.String(), `"client":"`+client+`"`)
		})
	}
}
