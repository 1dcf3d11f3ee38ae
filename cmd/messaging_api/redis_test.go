package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
)

// The shipped Redis user, an administrator beside it, and the password of both.
const (
	redisUser     = "messaging_api"
	redisAdmin    = "admin"
	redisPassword = "a password for tests"
)

// A redisServer is one redis-server process on loopback. Its data outlives Kill and
// Start, like a container's volume.
type redisServer struct {
	Addr string // 127.0.0.1:PORT, the same for all its life
	Dir  string // its data

	t       testing.TB
	args    []string
	process *exec.Cmd
	logs    *bufio.Scanner
}

// startRedis starts a server with the shipped redis.conf and users.acl, an administrator
// beside the shipped user, and further arguments as on redis-server's command line
// ("--maxmemory", "2mb"). It ends with the test.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	need(t, "redis-server")
	dir := t.TempDir()
	acl := filepath.Join(dir, "users.acl")
	if err := os.WriteFile(acl, usersACL(t), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	s := &redisServer{Addr: addr, Dir: dir, t: t}
	s.args = append([]string{
		filepath.Join("../../deploy/redis", "redis.conf"),
		"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--aclfile", acl,
	}, args...)
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start starts the process again, after Kill, and waits until it answers.
func (s *redisServer) Start() {
	s.t.Helper()
	s.process = exec.Command("redis-server", s.args...)
	out, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.logs = bufio.NewScanner(out)
	var said []string
	for s.logs.Scan() {
		said = append(said, s.logs.Text())
		if strings.Contains(s.logs.Text(), "Ready to accept connections") {
			go func(logs *bufio.Scanner) { // until the process ends and closes its side
				for logs.Scan() {
				} // a full pipe would stop it
			}(s.logs)
			return
		}
	}
	s.t.Fatalf("redis-server did not start: %s", strings.Join(said, "\n"))
}

// Kill ends the process at once, as a crash does.
func (s *redisServer) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the process in order.
func (s *redisServer) Stop() { s.end(syscall.SIGTERM) }

// Freeze stops the process from answering, without closing anything; Thaw lets
// it go on.
func (s *redisServer) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *redisServer) Thaw() { s.signal(syscall.SIGCONT) }

func (s *redisServer) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Errorf("redis-server: %v", err)
	}
}

func (s *redisServer) end(sig os.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(sig)
	_ = s.process.Wait() // the signal, as an error
	s.process = nil
}

// Do runs an administrator's command and returns its answer.
func (s *redisServer) Do(args ...any) any {
	s.t.Helper()
	admin := redis.NewClient(&redis.Options{
		Addr: s.Addr, Username: redisAdmin, Password: redisPassword, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
	})
	defer func() { _ = admin.Close() }()
	answer, err := admin.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("redis-server: %v: %v", args, err)
	}
	return answer
}

// URL is how the service reaches the server as the shipped user, the password
// left out or in.
func (s *redisServer) URL(withPassword bool) string {
	user := redisUser
	if withPassword {
		user += ":" + strings.ReplaceAll(redisPassword, " ", "%20")
	}
	return "redis://" + user + "@" + s.Addr + "/0"
}

// need skips a test that lacks a real part, and fails it where CI is set.
func need(t testing.TB, command string) {
	t.Helper()
	if _, err := exec.LookPath(command); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed; scripts/test installs it", command)
	}
	t.Skipf("NOT TESTED: %s is not installed; scripts/test installs it", command)
}

// freeAddr returns an address on loopback that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// usersACL fills in the shipped template as an operator's set-up does.
func usersACL(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../deploy/redis", "users.acl"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(redisPassword))
	acl := strings.ReplaceAll(string(b), "@PASSWORD_SHA256@", hex.EncodeToString(sum[:]))
	acl += "user " + redisAdmin + " on #" + hex.EncodeToString(sum[:]) + " ~* &* +@all\n"
	return []byte(acl)
}
