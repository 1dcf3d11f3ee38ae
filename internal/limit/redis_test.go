package limit

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A redisServer is a real redis-server on loopback, which can be killed and
// started again on its address.
type redisServer struct {
	t    testing.TB
	args []string
	addr string
	cmd  *exec.Cmd
}

// startRedis starts a redis-server without persistence that ends with the test.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("redis-server is not installed, and CI must not pass without it: %v", err)
		}
		t.Skipf("REDIS-SERVER IS NOT INSTALLED (Debian: apt-get install redis-server): the shared budget is NOT tested: %v", err)
	}
	s := &redisServer{t: t, addr: freeAddr(t)}
	_, port, _ := net.SplitHostPort(s.addr)
	s.args = append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no"}, args...)
	s.start()
	t.Cleanup(s.kill)
	return s
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

// start returns once the server answers.
func (s *redisServer) start() {
	s.t.Helper()
	var out strings.Builder
	s.cmd = exec.Command("redis-server", s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if !eventually(s.answers) {
		s.kill()
		s.t.Fatalf("redis-server does not answer:\n%s", out.String())
	}
}

// answers reports whether the server answers, if only that it wants a password.
func (s *redisServer) answers() bool {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second)) // Read tells
	_, _ = c.Write([]byte("PING\r\n"))             // the same
	n, _ := c.Read(make([]byte, 1))
	return n == 1
}

// kill ends the server as a crash would. Killing it again changes nothing.
func (s *redisServer) kill() {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Kill() // Wait tells
	_ = s.cmd.Wait()         // "signal: killed"
}

// client returns a client set up as the service does it.
func (s *redisServer) client(o *redis.Options) *redis.Client {
	o.Addr = s.addr
	o.ContextTimeoutEnabled = true
	o.DialerRetries = 1
	c := redis.NewClient(o)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// now returns the server's time.
func (s *redisServer) now(c redis.Cmdable) time.Time {
	s.t.Helper()
	now, err := c.Time(context.Background()).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return now
}

// clusterPort keeps the cluster's bus off ports that others use.
func clusterPort(t testing.TB) []string {
	_, port, _ := net.SplitHostPort(freeAddr(t))
	if _, err := strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	return []string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", port}
}
