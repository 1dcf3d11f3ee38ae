package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"messaging_api/internal/link"
	"messaging_api/internal/tlscert"
)

// TestMain makes the test binary msg itself where a script runs "msg".
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"msg": main})
}

// serviceBinary is the real messaging_api, which suite builds.
var serviceBinary string

// A suite builds the service, runs the tests and removes it.
type suite struct{ *testing.M }

func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "msg-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	serviceBinary = filepath.Join(dir, "messaging_api")
	if out, err := exec.Command("go", "build", "-o", serviceBinary, "messaging_api/cmd/messaging_api").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return s.M.Run()
}

// A service is a running messaging_api with a certificate of its own.
type service struct {
	url string // https://HOST:PORT
	ops string // address of the operations listener
	// announced is the file of what it prints at its start, for people.
	announced string
	cert      *x509.Certificate
}

// startService runs the service on free ports, with a store of its own, until
// stop is called. Its budgets are off unless args set them.
func startService(dir string, args ...string) (s service, stop func(), err error) {
	args = append([]string{
		"--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0", "--store=file:" + filepath.Join(dir, "messages.db"),
		"--limit-create=off", "--limit-read=off", "--limit-miss=off", "--limit-bytes=off", "--limit-read-bytes=off",
		"--handshakes-per-client=off", "--conns-per-client=0",
	}, args...)
	command := exec.Command(serviceBinary, args...)
	command.Env = []string{"HOME=" + dir}
	out, err := command.StdoutPipe()
	if err != nil {
		return s, nil, err
	}
	s.announced = filepath.Join(dir, "announced")
	announced, err := os.Create(s.announced)
	if err != nil {
		return s, nil, err
	}
	defer func() { _ = announced.Close() }()
	command.Stderr = announced
	log, err := os.Create(filepath.Join(dir, "service.log"))
	if err != nil {
		return s, nil, err
	}
	if err := command.Start(); err != nil {
		return s, nil, err
	}
	started, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			_, _ = fmt.Fprintln(log, scanner.Text())
			var line struct {
				Event   string `json:"event"`
				Address string `json:"address"`
				Ops     string `json:"ops_address"`
			}
			if s.url == "" && json.Unmarshal(scanner.Bytes(), &line) == nil && line.Event == "start" {
				s.url, s.ops = "https://"+line.Address, line.Ops
				close(started)
			}
		}
		_ = command.Wait() // it was killed
		_ = log.Close()
	}()
	stop = func() {
		_ = command.Process.Kill()
		<-done
	}
	select {
	case <-started:
	case <-done:
		text, _ := os.ReadFile(s.announced)
		return s, nil, fmt.Errorf("the service did not start: %s", text)
	case <-time.After(time.Minute):
		stop()
		return s, nil, errors.New("the service did not start in time")
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		stop()
		return s, nil, err
	}
	defer func() { _ = conn.Close() }()
	s.cert = conn.ConnectionState().PeerCertificates[0]
	return s, stop, nil
}

// TestScripts runs testdata/*.txtar: the manual of msg, which runs.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("TZ", "UTC")
			return os.Mkdir(filepath.Join(env.WorkDir, "home"), 0o700)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "ci": // where nothing may be left out
				return os.Getenv("CI") != "", nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"service": serviceCommand, "takedown": takeDown, "exits": exits, "link": setLink,
			"text": makeText, "mode": checkMode, "full": fullDisk,
		},
	})
}

// serviceCommand starts a service with further flags. MSG_SERVER and MSG_PIN then
// name it, ca.pem is its certificate, and OPS is its operations listener.
func serviceCommand(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs("service")
	ts.Check(os.MkdirAll(dir, 0o700))
	s, stop, err := startService(dir, args...)
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("MSG_SERVER", s.url)
	ts.Setenv("MSG_PIN", tlscert.Pin(s.cert))
	ts.Setenv("OPS", s.ops)
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}), 0o600))
}

// takeDown removes the message of a link as its operator does.
func takeDown(ts *testscript.TestScript, _ bool, args []string) {
	l, err := link.Parse(args[0])
	ts.Check(err)
	r, err := http.NewRequest(http.MethodDelete, "http://"+ts.Getenv("OPS")+"/msg/"+l.ID, nil)
	ts.Check(err)
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	ts.Check(answer.Body.Close())
	if answer.StatusCode != http.StatusNoContent {
		ts.Fatalf("takedown: got %s", answer.Status)
	}
}

// exits runs a command that must end with an exit code: exits CODE COMMAND ARGS.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code of %q: got %d, want %d", args[1:], got, want)
	}
}

// setLink sets a variable to the line that the last command printed: link NAME.
func setLink(ts *testscript.TestScript, _ bool, args []string) {
	line := strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
	if strings.ContainsAny(line, "\n ") || line == "" {
		ts.Fatalf("standard output is not one link alone: %q", line)
	}
	ts.Setenv(args[0], line)
}

// makeText writes a file: text FILE 'QUOTED GO STRING' [TIMES].
func makeText(ts *testscript.TestScript, _ bool, args []string) {
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	times := 1
	if len(args) > 2 {
		times, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Repeat(text, times)), 0o600))
}

// checkMode holds files to their permissions: mode PERMISSIONS GLOB.
func checkMode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	names, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("no file is named %s", args[1])
	}
	for _, name := range names {
		info, err := os.Stat(name)
		ts.Check(err)
		if got := info.Mode().Perm(); got != os.FileMode(want) {
			ts.Fatalf("mode of %s: got %o, want %o", name, got, want)
		}
	}
}

// fullDisk mounts a small filesystem over a directory and fills it but for some
// KiB: full DIRECTORY LEFT.
func fullDisk(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	left, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(ts.Exec("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir))
	ts.Defer(func() { _ = exec.Command("umount", "--lazy", dir).Run() })
	ts.Check(os.WriteFile(filepath.Join(dir, "filler"), make([]byte, (1024-left)<<10), 0o600))
}
