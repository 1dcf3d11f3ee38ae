package tlscert_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// ca is a running Pebble (the test CA of Let's Encrypt) with its DNS server, which
// resolves every name to 127.0.0.1.
type ca struct {
	t         testing.TB
	directory string // its URL, through gate
	caFile    string // what its own TLS is verified against
	roots     *x509.CertPool
	gate      *gate
	dns       string // the DNS server's management URL
}

// caOptions are what differs between tests.
type caOptions struct {
	tlsPort, httpPort int               // where it validates; 0: at a port without a listener
	validity          time.Duration     // of certificates; 0: 90 days
	nonceReject       int               // percent of good nonces that it refuses
	eabKeys           map[string]string // external accounts, one of which is required
	slow              time.Duration     // each validation takes so long
}

func startCA(t testing.TB, o caOptions) *ca {
	t.Helper()
	bin := pebbleDir(t)
	dir := t.TempDir()
	own := newAuthority(t).pair(ecdsaKey(t), x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ports := freePorts(t, 6)
	port, management, dns, dnsManagement := ports[0], ports[1], ports[2], ports[3]
	o.tlsPort, o.httpPort = cmp.Or(o.tlsPort, ports[4]), cmp.Or(o.httpPort, ports[5])
	if o.validity == 0 {
		o.validity = 90 * 24 * time.Hour
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":                  "127.0.0.1:" + strconv.Itoa(port),
		"managementListenAddress":        "127.0.0.1:" + strconv.Itoa(management),
		"certificate":                    own.Cert,
		"privateKey":                     own.Key,
		"httpPort":                       o.httpPort,
		"tlsPort":                        o.tlsPort,
		"retryAfter":                     map[string]int{"authz": 1, "order": 1},
		"keyAlgorithm":                   "ecdsa",
		"externalAccountBindingRequired": len(o.eabKeys) > 0,
		"externalAccountMACKeys":         o.eabKeys,
		"profiles":                       map[string]any{"default": map[string]any{"description": "x", "validityPeriod": int(o.validity.Seconds())}},
	}})
	must(t, err)
	configFile := filepath.Join(dir, "pebble.json")
	write(t, configFile, config)

	start(t, nil, filepath.Join(bin, "pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
		"-dnsserver", fmt.Sprintf("127.0.0.1:%d", dns), "-management", fmt.Sprintf("127.0.0.1:%d", dnsManagement))
	env := []string{"PEBBLE_WFE_NONCEREJECT=" + strconv.Itoa(o.nonceReject), "PEBBLE_AUTHZREUSE=0", "PEBBLE_VA_NOSLEEP=1"}
	if o.slow > 0 {
		env[2] = "PEBBLE_VA_SLEEPTIME=" + strconv.Itoa(int(o.slow.Seconds()))
	}
	start(t, env, filepath.Join(bin, "pebble"), "-config", configFile, "-dnsserver", fmt.Sprintf("127.0.0.1:%d", dns))

	until(t, "the DNS server", func() bool { return listens(dns) && listens(dnsManagement) })
	trust := x509.NewCertPool()
	chain, err := os.ReadFile(own.Cert)
	must(t, err)
	trust.AppendCertsFromPEM(chain)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true}}
	root := ""
	until(t, "Pebble", func() bool {
		if _, err := fetch(client, fmt.Sprintf("https://127.0.0.1:%d/dir", port)); err != nil {
			return false
		}
		root, err = fetch(client, fmt.Sprintf("https://127.0.0.1:%d/roots/0", management))
		return err == nil
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(root))
	g := openGate(t, fmt.Sprintf("127.0.0.1:%d", port))
	return &ca{t, fmt.Sprintf("https://%s/dir", g.listener.Addr()), own.Cert, roots, g, fmt.Sprintf("http://127.0.0.1:%d", dnsManagement)}
}

// resolve makes name resolve to address and nothing else from now on.
func (c *ca) resolve(name, address string) {
	c.t.Helper()
	c.manageDNS("clear-a", map[string]any{"host": name + "."})
	c.manageDNS("add-a", map[string]any{"host": name + ".", "addresses": []string{address}})
}

func (c *ca) manageDNS(command string, arguments map[string]any) {
	c.t.Helper()
	body, err := json.Marshal(arguments)
	must(c.t, err)
	resp, err := http.Post(c.dns+"/"+command, "application/json", bytes.NewReader(body))
	must(c.t, err)
	must(c.t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("the DNS server answers %s with status %d", command, resp.StatusCode)
	}
}

// pebbleDir returns where Pebble is, built if it was not there.
func pebbleDir(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "../../scripts/pebble").Output()
	if err != nil {
		t.Logf("scripts/pebble: %v", err)
		missing(t, "Pebble, the test CA,")
	}
	return strings.TrimSpace(string(out))
}

// start runs a program until the test ends, and shows its output if the test
// failed.
func start(t testing.TB, env []string, name string, args ...string) {
	t.Helper()
	var output bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	must(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(name), output.String())
		}
	})
}

func fetch(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	return string(body), err
}

// freePorts returns n different ports. They stay taken until all are found, so that
// none is found twice.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { must(t, listener.Close()) }()
		ports = append(ports, port(listener))
	}
	return ports
}

// listens reports whether a server listens on that port.
func listens(port int) bool {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return err == nil && conn.Close() == nil
}

// gate is a proxy to a server, which can be cut and mended.
type gate struct {
	listener net.Listener
	target   string

	mu    sync.Mutex // guards the rest
	shut  bool
	conns map[net.Conn]bool
}

func openGate(t testing.TB, target string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	g := &gate{listener: listener, target: target, conns: make(map[net.Conn]bool)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { g.pass(conn) })
		}
	})
	t.Cleanup(func() {
		must(t, listener.Close())
		g.cut()
		running.Wait()
	})
	return g
}

// pass copies both ways until either side ends or the gate is cut.
func (g *gate) pass(near net.Conn) {
	far, err := net.Dial("tcp", g.target)
	if err != nil || !g.enter(near, far) {
		_ = near.Close()
		if err == nil {
			_ = far.Close()
		}
		return
	}
	var both sync.WaitGroup
	for to, from := range map[net.Conn]net.Conn{near: far, far: near} {
		both.Go(func() {
			_, _ = io.Copy(to, from)
			_ = to.Close()
			_ = from.Close()
		})
	}
	both.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, near)
	delete(g.conns, far)
}

func (g *gate) enter(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		if !g.shut {
			g.conns[c] = true
		}
	}
	return !g.shut
}

// cut closes all connections, and lets none through until mend.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for c := range g.conns {
		_ = c.Close()
	}
}

func (g *gate) mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}
