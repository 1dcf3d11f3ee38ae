package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/store"
)

const (
	shippedConfig = "../../deploy/redis/redis.conf"
	shippedUsers  = "../../deploy/redis/users.acl"
	redisUser     = "messaging_api"
	redisPassword = "a test's password: /?#@%"
)

// requireProgram skips a test, or fails it where CI is set, if the program is
// not installed.
func requireProgram(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatalf("%s is not installed, and CI must not pass without it", name)
	}
	t.Logf("NOT TESTED: %s is not installed", name)
	t.Skipf("%s is not installed", name)
	return ""
}

// A redisServer is a real one with the shipped configuration, and with the
// shipped users besides an administrator for the tests.
type redisServer struct {
	t       testing.TB
	program string
	dir     string
	port    int
	args    []string
	process *exec.Cmd
	exited  chan struct{}
	tls     *tls.Config // of an administrator, where the server wants TLS
	admin   *redis.Client
}

// A redisSetup is what differs from the shipped configuration.
type redisSetup struct {
	args      []string
	grant     string // added to the rights of the shipped user
	authority *authority
}

// startRedis starts a server; it ends with the test.
func startRedis(t testing.TB, setup redisSetup) *redisServer {
	t.Helper()
	s := &redisServer{t: t, program: requireProgram(t, "redis-server"), dir: t.TempDir(), port: freePort(t)}
	config, err := os.ReadFile(shippedConfig)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(s.dir, "redis.conf") // a Sentinel has it rewritten
	writeFile(t, copied, config)
	s.args = []string{
		copied, "--bind", "127.0.0.1", "--dir", s.dir, "--aclfile", s.writeUsers(setup.grant),
		"--port", strconv.Itoa(s.port),
	}
	if setup.authority != nil {
		s.tls = setup.authority.clientConfig(t)
		s.args = append(s.args, setup.authority.redisArgs(t, s.port)...)
	}
	s.args = append(s.args, setup.args...)
	s.admin = redis.NewClient(&redis.Options{
		Addr: s.addr(), Username: "admin", Password: "admin", TLSConfig: s.tls,
		Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
	})
	s.start()
	t.Cleanup(func() {
		s.kill()
		_ = s.admin.Close()
	})
	return s
}

// writeUsers writes the shipped ACL with the password's hash in it, as the
// operator does, and an administrator.
func (s *redisServer) writeUsers(grant string) string {
	s.t.Helper()
	template, err := os.ReadFile(shippedUsers)
	if err != nil {
		s.t.Fatal(err)
	}
	const placeholder = "@PASSWORD_SHA256@"
	if !bytes.Contains(template, []byte(placeholder)) {
		s.t.Fatalf("%s has no %s", shippedUsers, placeholder)
	}
	sum := sha256.Sum256([]byte(redisPassword))
	users := strings.ReplaceAll(string(template), placeholder, hex.EncodeToString(sum[:]))
	users = strings.TrimRight(users, "\n") + grant + "\nuser admin on >admin ~* &* +@all\n"
	path := filepath.Join(s.dir, "users.acl")
	if err := os.WriteFile(path, []byte(users), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *redisServer) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// start runs the server and waits until it answers.
func (s *redisServer) start() {
	s.t.Helper()
	output, err := os.OpenFile(filepath.Join(s.dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	s.process = exec.Command(s.program, s.args...)
	s.process.Stdout, s.process.Stderr = output, output
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(p *exec.Cmd) {
		_ = p.Wait()
		close(exited)
	}(s.process)
	eventually(s.t, "redis-server answers", func() error {
		select {
		case <-s.exited:
			said, _ := os.ReadFile(output.Name())
			s.t.Fatalf("redis-server ended:\n%s", said)
		default:
		}
		return s.admin.Ping(context.Background()).Err()
	})
}

// kill ends the server as a power cut would, and waits for its end.
func (s *redisServer) kill() {
	_ = s.process.Process.Kill()
	<-s.exited
}

// do runs an administrator's command.
func (s *redisServer) do(args ...any) any {
	s.t.Helper()
	answer, err := s.admin.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// url is the server's URL with the shipped user, and without a password.
func (s *redisServer) url() string {
	scheme := "redis"
	if s.tls != nil {
		scheme = "rediss"
	}
	return fmt.Sprintf("%s://%s@%s", scheme, redisUser, s.addr())
}

// open returns a store on the server.
func (s *redisServer) open() *store.Redis {
	s.t.Helper()
	return openRedis(s.t, s.url(), s.tls)
}

// openRedis returns a store at url, with the password of the tests and with
// the certificates of config. It is closed with the test.
func openRedis(t testing.TB, url string, config *tls.Config) *store.Redis {
	t.Helper()
	opts := store.RedisOptions{Password: redisPassword}
	if config != nil {
		opts.RootCAs, opts.Certificate = config.RootCAs, &config.Certificates[0]
	}
	r, err := store.NewRedis(url, opts, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// freePort returns a port that nothing listens at, nor at the one 10000 above, which
// is a Cluster's bus.
func freePort(t testing.TB) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000))
		_ = l.Close()
		if err == nil {
			_ = bus.Close()
			return port
		}
	}
}
