package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// The passwords of the users at Redis and at the Sentinels. They need not be secret.
const (
	servicePassword  = "service"
	replicaPassword  = "replica"
	sentinelPassword = "sentinel"
	adminPassword    = "admin"
)

// What Redis servers and Sentinels connect from, so that a proxy knows them.
const (
	serverSource   = "127.0.1."
	sentinelSource = "127.0.2."
)

// A lab is where everything runs: a directory, and a context that ends all processes.
type lab struct {
	ctx    context.Context
	dir    string
	deploy string // deploy/redis of this tree
	binary string // messaging_api
	output io.Writer
}

// A process is a program that was started and has to be ended.
type process struct {
	command *exec.Cmd
	exited  chan struct{}
}

// launch starts a program whose output goes to a file. It is killed with the lab.
func (l *lab) launch(output string, name string, args ...string) (*process, error) {
	return l.launchIn(filepath.Dir(output), output, name, args...)
}

func (l *lab) launchIn(dir, output, name string, args ...string) (*process, error) {
	file, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // the process has it
	p := &process{command: exec.CommandContext(l.ctx, name, args...), exited: make(chan struct{})}
	p.command.Dir = dir
	p.command.Stdout, p.command.Stderr = file, file
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.command.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) { _ = p.command.Process.Signal(s) }

// ended reports whether the process is no more.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill ends the process as a power cut would, and waits for its end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// fill writes one of the shipped templates with words in it replaced, and adds lines.
func (l *lab) fill(path string, names []string, more string, words ...string) error {
	var all bytes.Buffer
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(l.deploy, name))
		if err != nil {
			return err
		}
		all.Write(text)
	}
	all.WriteString(more)
	return os.WriteFile(path, []byte(strings.NewReplacer(words...).Replace(all.String())), 0o600)
}

func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// A server is a Redis with the shipped configuration and access rules, behind a proxy.
// All others know it by the proxy's address. The administrator, a user for the tests
// only, connects to the server itself.
type server struct {
	lab     *lab
	name    string
	dir     string
	address string
	tls     string // its address for TLS, where it has one
	source  string // what it connects from
	args    []string
	front   *proxy
	admin   *redis.Client
	process *process
}

// newServer prepares the i-th server and its proxy, and does not start it. grant is
// what its kind of set-up adds to the rights of the service.
func (l *lab) newServer(kind string, i int, grant string, args ...string) (*server, error) {
	s := &server{lab: l, name: fmt.Sprintf("%s-%d", kind, i), source: fmt.Sprintf("%s%d", serverSource, i)}
	s.dir = filepath.Join(l.dir, s.name)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	port, err := freePort(l.ctx)
	if err != nil {
		return nil, err
	}
	s.address = net.JoinHostPort("127.0.0.1", port)
	if s.front, err = newProxy(l.ctx, s.address); err != nil {
		return nil, err
	}
	_, announced, _ := net.SplitHostPort(s.front.address)
	users := filepath.Join(s.dir, "users.acl")
	err = l.fill(users, []string{"users.acl", "replicas.acl"}, "user admin on >"+adminPassword+" ~* &* +@all\n",
		"@PASSWORD_SHA256@ resetkeys ~msg:* resetchannels -@all", hash(servicePassword)+" resetkeys ~msg:* resetchannels -@all"+grant,
		"@REPLICA_SHA256@", hash(replicaPassword), "@SENTINEL_SHA256@", hash(sentinelPassword))
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.dir, "redis.conf") // Redis and the Sentinels write into it
	if err := l.fill(config, []string{"redis.conf", "replicas.conf"}, ""); err != nil {
		return nil, err
	}
	s.args = append([]string{
		config, "--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--aclfile", users,
		"--masterauth", replicaPassword, "--bind-source-addr", s.source,
		"--replica-announce-ip", "127.0.0.1", "--replica-announce-port", announced,
	}, args...)
	s.admin = redis.NewClient(&redis.Options{
		Addr: s.address, Username: "admin", Password: adminPassword, Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
	})
	return s, nil
}

// start runs the server and waits until it answers.
func (s *server) start() error {
	var err error
	if s.process, err = s.lab.launch(filepath.Join(s.dir, "output"), "redis-server", s.args...); err != nil {
		return err
	}
	if err := s.lab.await(s.name+" answers", func() bool { return s.process.ended() || s.admin.Ping(s.lab.ctx).Err() == nil }); err != nil {
		return err
	}
	if s.process.ended() {
		text, _ := os.ReadFile(filepath.Join(s.dir, "output"))
		return fmt.Errorf("%s ended: %s", s.name, text)
	}
	return nil
}

// kill ends the server, and all connections to it.
func (s *server) kill() {
	s.process.kill()
	s.front.down()
}

// restart starts a server that was killed.
func (s *server) restart() error {
	if err := s.start(); err != nil {
		return err
	}
	return s.front.up()
}

// do runs an administrator's command.
func (s *server) do(args ...any) error {
	if err := s.admin.Do(s.lab.ctx, args...).Err(); err != nil {
		return fmt.Errorf("%s: %v: %w", s.name, args, err)
	}
	return nil
}

// info returns a field of INFO replication, or of another section.
func (s *server) info(section, field string) string {
	text, err := s.admin.Info(s.lab.ctx, section).Result()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), field+":"); found {
			return value
		}
	}
	return ""
}

func (s *server) isMaster() bool { return s.info("replication", "role") == "master" }

// takesWrites reports whether the server is a master that stores what so many
// replicas confirm.
func (s *server) takesWrites(replicas int) bool {
	if !s.isMaster() {
		return false
	}
	conn := s.admin.Conn()
	defer conn.Close() //nolint:errcheck // back to the pool
	if err := conn.Do(s.lab.ctx, "set", "probe", "x").Err(); err != nil && !strings.HasPrefix(err.Error(), "MOVED") {
		return false
	}
	confirmed, err := conn.Do(s.lab.ctx, "wait", replicas, 300).Int()
	return err == nil && confirmed >= replicas && s.online() >= replicas
}

// online counts the replicas that follow.
func (s *server) online() int {
	text, _ := s.admin.Info(s.lab.ctx, "replication").Result()
	return strings.Count(text, "state=online")
}

// patience bounds every wait for servers. It is generous: the machine may be busy.
const patience = 90 * time.Second

// await polls until the condition holds.
func (l *lab) await(what string, holds func() bool) error { return l.awaitFor(patience, what, holds) }

func (l *lab) awaitFor(most time.Duration, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(l.ctx, most)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited in vain until %s", what), l.ctx.Err())
		}
	}
	return nil
}

// minReplicas is how many replicas a master must hear of to take writes: none, where the
// service waits for none.
func minReplicas(confirm bool, n string) string {
	if confirm {
		return n
	}
	return "0"
}

// freePort returns a port that nothing listens at, low enough for a Cluster's bus,
// which is 10000 above.
func freePort(ctx context.Context) (string, error) {
	for {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port <= 55535 {
			return fmt.Sprint(port), nil
		}
	}
}
