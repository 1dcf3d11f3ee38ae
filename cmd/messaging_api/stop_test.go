package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stoppedIn stops the service and returns how long that took by its log, and what
// it says that it cut off.
func (s *service) stoppedIn() (took time.Duration, requests, connections int) {
	s.t.Helper()
	s.stop()
	var start time.Time
	for line := range strings.Lines(s.stdout.String()) {
		var l struct {
			Time                  time.Time
			Msg                   string
			Requests, Connections int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			continue
		}
		switch {
		case l.Msg == "draining":
			start = l.Time
		case strings.HasPrefix(l.Msg, "the time to drain is over"):
			requests, connections = l.Requests, l.Connections
		case l.Msg == "stopped":
			took = l.Time.Sub(start)
		}
	}
	return took, requests, connections
}

// A stop takes no longer than --drain and a second, exits 0, and says what it cut
// off: requests, and connections that never finished their handshake.
func TestDrainIsABound(t *testing.T) {
	for name, test := range map[string]struct {
		open                  func(t *testing.T, s *service)
		requests, connections int
	}{
		"nothing is open": {func(*testing.T, *service) {}, 0, 0},
		"a silent socket": {func(t *testing.T, s *service) {
			conn, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			eventually(t, time.Minute, "the connection", func() bool { return s.scrape()["connections_open"] == 1 })
		}, 0, 1},
		"half a request": {func(t *testing.T, s *service) {
			conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
			if err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n') // it comes once the body is read
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
				t.Fatalf("got %q, %v, want 100 Continue", line, err)
			}
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "--drain=200ms")
			test.open(t, s)
			took, requests, connections := s.stoppedIn()
			// A handshake and a body may take longer than this, so it is the drain that ends.
			if took > handshakeTimeout-time.Second {
				t.Errorf("with --drain 200ms: stopped in %v", took)
			}
			if requests != test.requests || connections != test.connections {
				t.Errorf("cut off: got %d requests and %d connections, want %d and %d", requests, connections, test.requests, test.connections)
			}
		})
	}
}

// A store that hangs while readiness asks it does not make a stop fail, or wait.
func TestStopWithAHungStore(t *testing.T) {
	redis := startRedis(t)
	s := start(t, "--drain=200ms", "--store="+redis.URL(true))
	redis.Freeze()
	defer redis.Thaw()
	probe, err := net.Dial("tcp", s.ops)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = probe.Close() }()
	if _, err := io.WriteString(probe, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if took, _, _ := s.stoppedIn(); took > handshakeTimeout-time.Second {
		t.Errorf("with --drain 200ms: stopped in %v", took)
	}
}

// A SIGHUP does not end the process, also not very early: here while the
// service still reads its files. What it asks for is done once the service runs.
func TestEarlyHangup(t *testing.T) {
	redis := startRedis(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := syscall.Mkfifo(password, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := new(lines), new(lines)
	command := program(t, nil, "--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0",
		"--store="+redis.URL(false), "--redis-password-file="+password)
	command.Stdout, command.Stderr = stdout, stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	defer func() { _ = command.Process.Kill() }()
	var write *os.File
	eventually(t, time.Minute, "the service reads the password", func() (reads bool) {
		var err error
		write, err = os.OpenFile(password, os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails without a reader
		return err == nil
	})
	if err := command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(write, redisPassword); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	eventually(t, time.Minute, "the reload", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("the service ended: %v %s", err, stderr)
		default:
		}
		return strings.Contains(stdout.String(), `"event":"reload"`)
	})
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("after SIGTERM: %v %s", err, stderr)
	}
}
