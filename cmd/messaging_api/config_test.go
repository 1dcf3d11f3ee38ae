package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"messaging_api/internal/logfile"
	"messaging_api/internal/tlscert"
)

// outcome runs the program to its end.
func outcome(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	command := program(t, env, args...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), out.String(), errs.String()
}

// Bad configuration ends in exit 2 and one line that names the input and the
// rule, before anything listens.
func TestBadConfiguration(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := t.TempDir()
	c := issue(t, good, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	damaged := filepath.Join(dir, "damaged.pem")
	whole := bytes.ReplaceAll(bytes.TrimSpace(c.blocks[0]), []byte("\n"), []byte("\r")) // one line
	writeFile(t, damaged, slices.Concat(whole, []byte("\n-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nMIIB")))
	// An address that is taken: a program that listens before it checks fails in another way.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	busy := "--listen=" + taken.Addr().String()

	redis := "--store=redis://messaging_api@127.0.0.1/"
	for _, c := range []struct {
		name string
		args []string
		env  []string
		want []string // all in the line
	}{
		{name: "unknown flag", args: []string{"--hots=x"}, want: []string{"--hots"}},
		{name: "unknown command", args: []string{"sevre"}, want: []string{"sevre"}},
		{name: "a file without its flag", args: []string{"--tls=files", "certs/fullchain.pem"}, want: []string{"certs/fullchain.pem", "--tls-cert certs/fullchain.pem"}},
		{name: "a proxy's range", args: []string{"--trusted-proxy=10.0.0.0/40"}, want: []string{"--trusted-proxy", "10.0.0.0/40", "10.0.0.0/8"}},
		{name: "unknown variable", env: []string{"MESSAGING_API_TLL=1h"}, want: []string{"MESSAGING_API_TLL"}},
		{name: "bad variable", env: []string{"MESSAGING_API_TTL=week"}, want: []string{"MESSAGING_API_TTL", "week", "7d"}},
		{name: "listen on no port", args: []string{"--listen=127.0.0.1:99999"}, want: []string{"--listen", "99999"}},
		{name: "host empty", args: []string{"--host="}, want: []string{"--host", "empty"}},
		{name: "host with scheme", args: []string{"--host=https://a.example"}, want: []string{"--host", "https://a.example", "scheme"}},
		{name: "host with port", args: []string{"--host=a.example:443"}, want: []string{"--host", "port"}},
		{name: "listen without port", args: []string{"--listen=localhost"}, want: []string{"--listen", "PORT"}},
		{name: "ops without port", args: []string{"--listen-ops=localhost"}, want: []string{"--listen-ops", "PORT"}},
		{name: "size", args: []string{"--max-bytes=lots"}, want: []string{"--max-bytes", "lots", "KiB"}},
		{name: "size zero", args: []string{"--max-bytes=0"}, want: []string{"--max-bytes", "\"0\""}},
		{name: "size huge", args: []string{"--max-bytes=1GiB"}, want: []string{"--max-bytes 1GiB", "64MiB"}},
		{name: "ttl fraction", args: []string{"--ttl=1500ms"}, want: []string{"--ttl 1.5s", "whole seconds"}},
		{name: "ttl zero", args: []string{"--ttl=0s"}, want: []string{"--ttl", "at least one"}},
		{name: "ttl over max", args: []string{"--ttl=2h", "--ttl-max=1h"}, want: []string{"--ttl 2h0m0s", "--ttl-max 1h0m0s"}},
		{name: "ttl-max", args: []string{"--ttl-max=-1s"}, want: []string{"--ttl-max"}},
		{name: "drain", args: []string{"--drain=-1s"}, want: []string{"--drain"}},
		{name: "log level", args: []string{"--log-level=loud"}, want: []string{"--log-level", "loud", "debug, info, warn, error"}},
		{name: "proxy", args: []string{"--trusted-proxy=proxy"}, want: []string{"--trusted-proxy", "proxy"}},
		{name: "international host", args: []string{"--host=bücher.example"}, want: []string{"--host", "bücher.example", "xn--bcher-kva.example"}},
		{name: "international public URL", args: []string{"--public-url=https://bücher.example"}, want: []string{"--public-url", "xn--bcher-kva.example"}},
		{name: "IPv6 host without brackets", args: []string{"--host=2001:DB8:0::1"}, want: []string{"--host", "2001:DB8:0::1", "in brackets"}},
		{name: "public URL in clear", args: []string{"--public-url=http://a.example"}, want: []string{"--public-url", "https://HOST[:PORT][/PREFIX]"}},
		{name: "public URL without scheme", args: []string{"--public-url=a.example"}, want: []string{"--public-url", "https://HOST[:PORT][/PREFIX]"}},
		{name: "public URL with a query", args: []string{"--public-url=https://a.example/?x"}, want: []string{"--public-url"}},
		{name: "public URL with a user", args: []string{"--public-url=https://u@a.example/"}, want: []string{"--public-url"}},
		{name: "public URL with a fragment", args: []string{"--public-url=https://a.example/#x"}, want: []string{"--public-url"}},
		{name: "public URL with a bad host", args: []string{"--public-url=https://-a/"}, want: []string{"--public-url", "a host"}},
		{name: "public URL with a bad port", args: []string{"--public-url=https://a.example:0"}, want: []string{"--public-url", "a host"}},
		{name: "public URL with dots", args: []string{"--public-url=https://a.example/x/../y"}, want: []string{"--public-url", "dot segments"}},
		{name: "tls", args: []string{"--tls=on"}, want: []string{"--tls", "self-signed"}},
		{name: "tls-min", args: []string{"--tls-min=1.1"}, want: []string{"--tls-min", "1.1"}},
		{name: "tls files without files", args: []string{"--tls=files"}, want: []string{"--tls files", "--tls-cert", "--tls-key"}},
		{name: "tls files unpaired", args: []string{"--tls=files", "--tls-cert=a"}, want: []string{"in pairs"}},
		{name: "tls files missing", args: []string{"--tls=files", "--tls-cert=" + dir + "/none", "--tls-key=" + dir + "/none"}, want: []string{"--tls-cert", dir + "/none"}},
		{name: "tls files empty", args: []string{"--tls=files", "--tls-cert=" + empty, "--tls-key=" + empty}, want: []string{empty}},
		{name: "files without tls files", args: []string{"--tls-cert=a", "--tls-key=b"}, want: []string{"--tls self-signed", "--tls-cert"}},
		{name: "acme without host", args: []string{"--tls=acme"}, want: []string{"--tls acme", "--host"}},
		{name: "acme for an address", args: []string{"--tls=acme", "--host=192.0.2.1", "--acme-cache=" + dir + "/acme"}, want: []string{"192.0.2.1"}},
		{name: "acme flags without acme", args: []string{"--acme-email=a@b"}, want: []string{"--tls self-signed", "--acme"}},
		{name: "acme eab half", args: []string{"--tls=acme", "--host=a.example", "--acme-cache=" + dir + "/acme", "--acme-eab-kid=x"}, want: []string{"external account binding", "key file"}},
		{name: "http without port", args: []string{"--listen-http=localhost"}, want: []string{"--listen-http", "PORT"}},
		{name: "rate", args: []string{"--limit-read=50/w:1"}, want: []string{"--limit-read", "50/w:1"}},
		{name: "bytes for a count", args: []string{"--limit-create=1KiB/s:30"}, want: []string{"--limit-create 1KiB/s:30", "without KiB"}},
		{name: "byte burst for a count", args: []string{"--handshakes-per-client=20/s:1MB"}, want: []string{"--handshakes-per-client 20/s:1MB"}},
		{name: "byte rate", args: []string{"--limit-bytes=fast"}, want: []string{"--limit-bytes", "fast"}},
		{name: "byte burst under max-bytes", args: []string{"--limit-bytes=1KiB/s:256KiB"}, want: []string{"--limit-bytes 1KiB/s:256KiB", "512 bytes more", "--max-bytes 256KiB"}},
		{name: "read burst under max-bytes", args: []string{"--limit-read-bytes=1KiB/s:1KiB"}, want: []string{"--limit-read-bytes 1KiB/s:1KiB", "--max-bytes 256KiB"}},
		{name: "ipv4 prefix", args: []string{"--limit-ipv4-prefix=33"}, want: []string{"--limit-ipv4-prefix 33", "32"}},
		{name: "ipv6 prefix", args: []string{"--limit-ipv6-prefix=0"}, want: []string{"--limit-ipv6-prefix 0"}},
		{name: "clients", args: []string{"--limit-clients=0"}, want: []string{"--limit-clients 0"}},
		{name: "conns no number", args: []string{"--conns=many"}, want: []string{`--conns "many": must be a whole number`}},
		{name: "conns", args: []string{"--conns=0"}, want: []string{"--conns 0"}},
		{name: "conns per client", args: []string{"--conns-per-client=-1"}, want: []string{"--conns-per-client -1"}},
		{name: "shared on a file", args: []string{"--limit-scope=shared"}, want: []string{"--limit-scope shared", "Redis"}},
		{name: "scope", args: []string{"--limit-scope=global"}, want: []string{"--limit-scope", "global"}},
		{name: "in flight", args: []string{"--in-flight=0"}, want: []string{"--in-flight 0"}},
		{name: "tls off in public", args: []string{"--tls=off", "--listen=:8443"}, want: []string{"--tls off", "not loopback", "--trusted-proxy"}},
		{name: "store scheme", args: []string{"--store=postgres://x"}, want: []string{"--store", "redis://"}},
		{name: "store no path", args: []string{"--store=file:"}, want: []string{"--store", "file:var/messages.db"}},
		{name: "store bad option", args: []string{"--store=redis://h/?no_such=1"}, want: []string{"--store", "no_such"}},
		{name: "redis flag with file", args: []string{"--redis-ca=x"}, want: []string{"--redis-ca", "file: store"}},
		{name: "redis replicas with file", args: []string{"--redis-replicas=1"}, want: []string{"--redis-replicas", "file: store"}},
		{name: "redis replicas", args: []string{redis, "--redis-replicas=-1"}, want: []string{"--redis-replicas -1", "from 0 to 100"}},
		{name: "redis cert alone", args: []string{redis, "--redis-cert=x"}, want: []string{"--redis-cert", "--redis-key"}},
		{name: "port out of range", args: []string{"--listen=127.0.0.1:65536"}, want: []string{"--listen", "65536"}},
		{name: "unknown port", args: []string{busy, "--listen-ops=127.0.0.1:none"}, want: []string{"--listen-ops", "none"}},
		{name: "redis password missing", args: []string{redis, "--redis-password-file=" + dir + "/none"}, want: []string{"--redis-password-file", dir + "/none"}},
		{name: "redis password empty", args: []string{redis, "--redis-password-file=" + empty}, want: []string{"--redis-password-file", "empty"}},
		{name: "redis ca damaged", args: []string{"--store=rediss://h", "--redis-ca=" + damaged}, want: []string{"--redis-ca", damaged, "block 2, line 3", "no END line"}},
		{name: "redis key damaged", args: []string{"--store=rediss://h", "--redis-cert=" + filepath.Join(good, "fullchain.pem"), "--redis-key=" + damaged}, want: []string{"--redis-key", damaged, "block 1, line 2", "no END line"}},
		{name: "acme ca damaged", args: []string{"--tls=acme", "--host=a.example", "--acme-cache=" + dir + "/acme", "--acme-ca=" + damaged}, want: []string{damaged, "block 2, line 3", "no END line"}},
		{name: "redis ca empty", args: []string{"--store=rediss://h", "--redis-ca=" + empty}, want: []string{"--redis-ca", "PEM"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "--listen=") {
				args = append([]string{busy}, args...)
			}
			if c.name == "unknown command" {
				args = c.args
			}
			code, stdout, stderr := outcome(t, c.env, args...)
			if code != 2 {
				t.Errorf("exit code: got %d, want 2", code)
			}
			if stdout != "" {
				t.Errorf("stdout: got %q, want nothing", stdout)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "messaging_api: ") {
				t.Errorf("stderr: got %q, want one line", stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr: got %q, want it to name %q", stderr, want)
				}
			}
		})
	}
}

// A password in a bad URL must not end up on a terminal or in a log.
func TestBadStoreURLHidesThePassword(t *testing.T) {
	for _, url := range []string{"redis://u:sekrit@h:port/", "redis://u:sekrit@h/?x=1", "redis://u:sek%zzrit@h/", "http://u:sekrit@h"} {
		code, stdout, stderr := outcome(t, nil, "check", "--store="+url)
		if code != 2 || strings.Contains(stdout+stderr, "rit@") || strings.Contains(stdout+stderr, "sekrit") {
			t.Errorf("--store %s: exit %d, %s%s", url, code, stdout, stderr)
		}
	}
}

// A failure that may be gone at a later start is exit 1 and one line.
func TestStartFailures(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, bytes.Repeat([]byte("not a database\n"), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(t.TempDir(), "locked.db")
	start(t, "--store=file:"+locked)
	early, late := t.TempDir(), t.TempDir()
	issue(t, early, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour))
	issue(t, late, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"not yet valid": {withPair(early, "--listen=127.0.0.1:0"), "not valid before"},
		"expired":       {withPair(late, "--listen=127.0.0.1:0"), "expired at"},
		"check expired": {append([]string{"check"}, withPair(late)...), "expired at"},
		"no address":    {[]string{"--listen=192.0.2.1:0"}, "--listen"},
		"listen":        {[]string{"--listen=" + taken.Addr().String()}, "--listen"},
		"listen-ops":    {[]string{"--listen=127.0.0.1:0", "--listen-ops=" + taken.Addr().String()}, "--listen-ops"},
		"junk":          {[]string{"--listen=127.0.0.1:0", "--store=file:" + junk}, junk},
		"locked":        {[]string{"--listen=127.0.0.1:0", "--store=file:" + locked}, "another process"},
		"relative":      {[]string{"--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0", "--store=file:" + strings.Repeat("../", 20) + "proc/x/messages.db"}, "relative to /"},
		"health":        {[]string{"health", "--listen-ops=127.0.0.1:1"}, "not healthy"},
	} {
		code, _, stderr := outcome(t, nil, c.args...)
		if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: got exit %d, %q; want 1 and one line with %q", name, code, stderr, c.want)
		}
	}
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	env := []string{"MESSAGING_API_TTL=1m", "MESSAGING_API_HOST=a.example,b.example", "MESSAGING_API_STORE="}
	o, command, err := parse([]string{"--ttl=2m"}, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.TTL.Minutes() != 2 || strings.Join(o.Host, " ") != "a.example b.example" || command != "serve" {
		t.Errorf("parse: got ttl %v, hosts %v, command %s", o.TTL, o.Host, command)
	}
	if o.Store != "file:var/messages.db" {
		t.Errorf("an empty variable: got store %q, want the default", o.Store)
	}
}

// What people write is understood.
func TestFlagsThatAreUnderstood(t *testing.T) {
	o, _, err := parse([]string{"--ttl-max=1d", "--trusted-proxy=10.0.0.1,2001:db8::1", "--trusted-proxy=10.1.2.3/16,::ffff:172.16.0.0/108", "--drain=1m"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.TTL.Hours() != 24 || o.TTLMax.Hours() != 24 || o.Drain.Minutes() != 1 {
		t.Errorf("--ttl-max=1d: got ttl %v and ttl-max %v, want 24h for both", o.TTL, o.TTLMax)
	}
	if got := o.TrustedProxy.String(); got != "10.0.0.1/32,2001:db8::1/128,10.1.0.0/16,172.16.0.0/12" {
		t.Errorf("--trusted-proxy: got %s", got)
	}
}

func TestHelpAndVersion(t *testing.T) {
	version, _ := build()
	for want, commands := range map[string][][]string{
		"Usage: messaging_api": {{"help"}, {"--help"}, {"-h"}, {"check", "--help"}},
		version:                {{"version"}, {"--version"}},
	} {
		for _, args := range commands {
			code, stdout, stderr := outcome(t, nil, args...)
			if code != 0 || !strings.HasPrefix(stdout, want) || stderr != "" {
				t.Errorf("%v: got exit %d, %.60q, %q, want 0 and %s", args, code, stdout, stderr, want)
			}
		}
	}
}

func TestCheckCommand(t *testing.T) {
	code, stdout, stderr := outcome(t, nil, "check", "--host=msg.example")
	if code != 0 || !strings.Contains(stdout, "msg.example") || !strings.Contains(stdout, "days left") || !strings.Contains(stdout, "valid") {
		t.Errorf("check: got exit %d, %q %q", code, stdout, stderr)
	}
	if _, err := os.Stat("var"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("check made files: %v", err)
	}
}

func TestVersionCommand(t *testing.T) {
	code, stdout, _ := outcome(t, nil, "version")
	if code != 0 || strings.TrimSpace(stdout) == "" {
		t.Errorf("version: got exit %d, %q", code, stdout)
	}
}

// Behind a proxy the service is plain HTTP on loopback.
func TestTLSOff(t *testing.T) {
	s := start(t, "--tls=off")
	if _, err := (&service{t: t, address: s.address}).post(client(1), "x"); err == nil {
		t.Error("HTTPS works although TLS is off")
	}
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: msg.example\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := new(bytes.Buffer)
	if _, err := answer.ReadFrom(conn); err != nil || !strings.HasPrefix(answer.String(), "HTTP/1.1 200") {
		t.Errorf("plain HTTP: got %v %.80q", err, answer)
	}
	s.stop()
}

// Each cause of a failed start has its exit code.
func TestStartErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{fmt.Errorf("certificate: %w: expired", tlscert.ErrNotValidNow), 1},
		{fmt.Errorf("--log-dir: %w", logfile.ErrInUse), 1},
		{&net.OpError{Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}, 1},
		{&net.OpError{Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}, 1},
		{&net.OpError{Err: &net.DNSError{Name: "a.example", IsTemporary: true}}, 1},
		{&os.PathError{Op: "open", Path: "log", Err: syscall.ENOSPC}, 1},
		{&os.PathError{Op: "read", Path: "key", Err: syscall.EIO}, 1},
		{&net.OpError{Err: os.NewSyscallError("bind", syscall.EACCES)}, 2}, // a port below 1024
		{&net.OpError{Err: &net.AddrError{Err: "invalid port", Addr: "99999"}}, 2},
		{&os.PathError{Op: "open", Path: "key", Err: syscall.EACCES}, 2},
		{&os.PathError{Op: "open", Path: "key", Err: syscall.ENOENT}, 2},
		{errors.New("the key does not match"), 2},
	} {
		if code := exitCode(startError(c.err), io.Discard); code != c.code {
			t.Errorf("%v: got exit code %d, want %d", c.err, code, c.code)
		}
	}
}

// The unit waits for the clock, tries again after exit 1 and stops after 2.
func TestUnitFollowsTheExitCodes(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/messaging_api.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"After=network-online.target time-sync.target", "Wants=network-online.target time-sync.target", "Restart=always", "RestartPreventExitStatus=2", "StartLimitIntervalSec=0"} {
		if !strings.Contains(string(unit), "\n"+line+"\n") {
			t.Errorf("the unit has no line %s", line)
		}
	}
}
