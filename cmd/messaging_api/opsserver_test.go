package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Idle connections to the operations listener take few of the process's
// descriptors, and neither probes nor the public have to wait for their end.
func TestIdleOpsConnections(t *testing.T) {
	s := start(t)
	for range 8 * opsConns {
		conn, err := net.Dial("tcp", s.ops)
		if err == nil { // otherwise it was closed before the dialer saw it open
			t.Cleanup(func() { _ = conn.Close() })
		}
	}
	probe := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, time.Minute, "a probe is answered", func() bool {
		answer, err := probe.Get("http://" + s.ops + "/livez")
		if err != nil {
			return false // until the others are no longer new
		}
		return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	})
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > opsConns+ownDescriptors {
		t.Errorf("open files: got %d, want at most %d", len(files), opsConns+ownDescriptors)
	}
	if _, err := s.post(client(1), "x"); err != nil {
		t.Error(err)
	}
	s.stop()
}

// The operations listener answers to no foreign name, such as one that a
// foreign page has made resolve to this machine.
func TestOpsHosts(t *testing.T) {
	s := start(t)
	_, port, _ := net.SplitHostPort(s.ops)
	for host, want := range map[string]int{
		s.ops: http.StatusOK, "localhost:" + port: http.StatusOK, "[::1]:" + port: http.StatusOK,
		"rebound.example": http.StatusMisdirectedRequest, "rebound.example:" + port: http.StatusMisdirectedRequest,
	} {
		request, err := http.NewRequest(http.MethodGet, "http://"+s.ops+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("Host %q: got %d, want %d", host, answer.StatusCode, want)
		}
	}
	s.stop()
}

// Too few file descriptors for --conns are said at start, with what would do.
func TestTooFewDescriptors(t *testing.T) {
	command := program(t, nil, "--listen=127.0.0.1:0", "--listen-http=127.0.0.1:0", "--listen-ops=127.0.0.1:0")
	args := append([]string{"-c", `ulimit -n 400 && exec "$0" "$@"`}, command.Args...)
	shell := exec.CommandContext(t.Context(), "sh", args...)
	shell.Env, shell.Dir = command.Env, command.Dir
	out, err := shell.CombinedOutput()
	if shell.ProcessState.ExitCode() != 2 || err == nil {
		t.Errorf("exit code: got %v, want 2", err)
	}
	for _, want := range []string{"--conns 8192", "400", "LimitNOFILE", "--conns to at most 136"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got %q, want it to name %q", out, want)
		}
	}
}
