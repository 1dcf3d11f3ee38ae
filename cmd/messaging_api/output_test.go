package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The reader of stdout and stderr goes away, as `head -1` and a journal that restarts
// do. The service goes on, counts the lines that it cannot write, and writes its file.
func TestLostReaderOfTheLog(t *testing.T) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range pair {
		syscall.CloseOnExec(fd)
	}
	pipe, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		reader, out *os.File
	}{
		{"pipe", pipe, end},
		{"socket", os.NewFile(uintptr(pair[0]), "reader"), os.NewFile(uintptr(pair[1]), "out")},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := startTo(t, c.reader, c.out, "--log-dir="+dir)
			if err := c.reader.Close(); err != nil {
				t.Fatal(err)
			}
			const lost = "log_lines_lost_total"
			before := s.scrape()[lost]
			if _, err := s.post(client(1), "x"); err != nil {
				t.Fatal(err)
			}
			eventually(t, time.Minute, "the request's line is counted as lost", func() bool { return s.scrape()[lost] > before })
			s.signal(syscall.SIGHUP) // has a line too
			eventually(t, time.Minute, "the reload's line in the file", func() bool {
				text, _ := os.ReadFile(filepath.Join(dir, logName))
				return strings.Contains(string(text), `"msg":"request"`) && strings.Contains(string(text), `"event":"reload"`)
			})
			if status := s.status(client(1), http.MethodGet, "/", nil); status != http.StatusOK {
				t.Errorf("GET without a reader of the log: got %d, want 200", status)
			}
			s.signal(syscall.SIGTERM)
			s.wait()
			if code := s.command.ProcessState.ExitCode(); code != 0 {
				t.Errorf("got %v, want exit 0", s.command.ProcessState)
			}
		})
	}
}

// startTo is start with out for stdout and stderr, whose other end is reader. It
// reads until the service serves.
func startTo(t *testing.T, reader, out *os.File, args ...string) *service {
	t.Helper()
	s := &service{t: t, stderr: new(lines), stdout: new(lines), done: make(chan struct{})}
	s.command = program(t, nil, append([]string{"--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0"}, args...)...)
	s.command.Stdout, s.command.Stderr = out, out
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		_ = s.command.Wait() // its status is in ProcessState
	}()
	t.Cleanup(s.kill)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	for scanner := bufio.NewScanner(reader); scanner.Scan(); {
		var line struct {
			Event   string `json:"event"`
			Address string `json:"address"`
			Ops     string `json:"ops_address"`
		}
		if json.Unmarshal(scanner.Bytes(), &line) == nil && line.Event == "start" {
			s.address, s.ops = line.Address, line.Ops
			return s
		}
		_, _ = io.WriteString(s.stdout, scanner.Text()+"\n")
	}
	t.Fatalf("the service did not start: %s", s.stdout)
	return nil
}

// Two services must not log to one folder: the second one says so and ends with 1,
// since the first one may end soon.
func TestSecondServiceOnOneLogFolder(t *testing.T) {
	dir := t.TempDir()
	first := start(t, "--log-dir="+dir)
	code, _, stderr := outcome(t, nil, "--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0", "--log-dir="+dir)
	if code != 1 || !strings.Contains(stderr, "--log-dir") || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "another process") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("the second service: got exit %d, %q; want 1 and a line that names the folder", code, stderr)
	}
	first.stop()
	start(t, "--log-dir="+dir).stop()
}

// A trusted proxy that does not say whom a request is for makes all its clients one. The
// log and the metrics say so.
func TestProxyThatForwardsNothing(t *testing.T) {
	s := start(t, "--trusted-proxy=127.0.0.0/8")
	request := func(forwarded string) {
		r, err := http.NewRequest(http.MethodGet, "https://"+s.address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		answer, err := client(1).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	const metric = "unforwarded_requests_total"
	request("192.0.2.1")
	if got := s.scrape()[metric]; got != 0 {
		t.Errorf("%s after a forwarded request: got %v, want 0", metric, got)
	}
	for _, forwarded := range []string{"", "unknown", "127.0.0.7"} {
		request(forwarded)
	}
	if got := s.scrape()[metric]; got != 3 {
		t.Errorf("%s: got %v, want 3", metric, got)
	}
	eventually(t, time.Minute, "the event", func() bool { return strings.Contains(s.stdout.String(), `"event":"proxy"`) })
	s.stop()
	lines := slices.DeleteFunc(records(t, s.stdout.String()), func(line map[string]any) bool { return line["event"] != "proxy" })
	if len(lines) != 1 || lines[0]["level"] != "WARN" || lines[0]["client"] != "127.0.0.0/24" {
		t.Errorf("got the lines %v, want one warning that names the proxy", lines)
	}
}
