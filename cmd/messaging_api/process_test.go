package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// asService makes the test binary the program itself: what these tests start,
// signal and kill is the real main.
const asService = "TEST_BINARY_IS_THE_SERVICE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(asBare); spec != "" {
		panic(bareServer(spec)) // it ends by an error only
	}
	if os.Getenv(asService) != "" {
		main()
	}
	os.Exit(m.Run()) //nolint:forbidigo // the tests' one exit
}

// program returns the service as a command, its environment empty but for env.
func program(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0], args...)
	command.Env = append([]string{asService + "=1", "HOME=" + t.TempDir()}, env...)
	command.Dir = t.TempDir()
	return command
}

// A service is a running program.
type service struct {
	t       testing.TB
	command *exec.Cmd
	address string // of public HTTPS
	http    string // of plain HTTP, if it is on
	ops     string
	stderr  *lines
	stdout  *lines
	done    chan struct{} // closed when the process has ended
}

// lines keeps what the service prints.
type lines struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// noLimits are for tests that are not about limits.
func noLimits() []string {
	return []string{
		"--limit-create=off", "--limit-read=off", "--limit-miss=off", "--limit-bytes=off", "--limit-read-bytes=off",
		"--handshakes-per-client=off", "--conns-per-client=0",
	}
}

// start runs the service without limits on free ports, until it says that it
// serves.
func start(t testing.TB, args ...string) *service {
	t.Helper()
	return startLimited(t, append(noLimits(), args...)...)
}

// startLimited is start with the limits' defaults.
func startLimited(t testing.TB, args ...string) *service {
	t.Helper()
	return startWith(t, nil, args...)
}

// startWith is startLimited, with an environment.
func startWith(t testing.TB, env []string, args ...string) *service {
	t.Helper()
	s := &service{t: t, stderr: new(lines), stdout: new(lines), done: make(chan struct{})}
	s.command = program(t, env, append([]string{"--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0"}, args...)...)
	s.command.Stderr = s.stderr
	out, err := s.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		defer close(s.done)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			_, _ = fmt.Fprintln(s.stdout, scanner.Text())
			var line struct {
				Event   string `json:"event"`
				Address string `json:"address"`
				HTTP    string `json:"http_address"`
				Ops     string `json:"ops_address"`
			}
			if s.address == "" && json.Unmarshal(scanner.Bytes(), &line) == nil && line.Event == "start" {
				s.address, s.http, s.ops = line.Address, line.HTTP, line.Ops
				close(started)
			}
		}
		_ = s.command.Wait() // its status is in ProcessState
	}()
	t.Cleanup(s.kill)
	select {
	case <-started:
	case <-s.done:
		t.Fatalf("the service did not start: %s %s", s.stderr, s.stdout)
	case <-time.After(time.Minute):
		t.Fatalf("the service did not start in time: %s", s.stdout)
	}
	return s
}

func (s *service) kill() {
	_ = s.command.Process.Kill()
	<-s.done
}

func (s *service) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.command.Process.Signal(sig); err != nil {
		s.t.Errorf("signal %v: %v", sig, err)
	}
}

// stop ends the service in order and checks that it says so.
func (s *service) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.wait()
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("exit code after SIGTERM: got %d, want 0; %s %s", code, s.stderr, s.stdout)
	}
}

func (s *service) wait() {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		s.t.Fatalf("the service did not end: %s", s.stdout)
	}
}

// client trusts any certificate: what it shows is another test's matter.
func client(protocol int) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 256,
	}
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == 1)
	protocols.SetHTTP2(protocol == 2)
	transport.Protocols = &protocols
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// post creates a message and returns its link.
func (s *service) post(c *http.Client, text string) (string, error) {
	answer, err := c.Post("https://"+s.address+"/", "text/plain", strings.NewReader(text))
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", answer.StatusCode, body)
	}
	return answer.Header.Get("Location"), nil
}

// get reads a link, on whatever port the service now has.
func (s *service) get(c *http.Client, link string) (status int, text string, err error) {
	_, path, _ := strings.Cut(strings.TrimPrefix(link, "https://"), "/")
	request, err := http.NewRequest(http.MethodGet, "https://"+s.address+"/"+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Accept", "text/plain")
	answer, err := c.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// ready asks /readyz once.
func (s *service) ready() (int, string) {
	s.t.Helper()
	answer, err := http.Get("http://" + s.ops + "/readyz")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// eventually asks until the answer is yes, at most for the bound.
func eventually(t testing.TB, bound time.Duration, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(bound)
	for !yes() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %v: %s", bound, what)
		}
	}
}

// The curl line that start-up prints works as it stands.
func TestPrintedCommandWorks(t *testing.T) {
	need(t, "curl")
	for name, args := range map[string][]string{"no host": nil, "host": {"--host", "msg.example"}} {
		s := start(t, args...)
		var command string
		eventually(t, time.Minute, "a curl line on stderr", func() (found bool) {
			_, command, _ = strings.Cut(s.stderr.String(), "curl ")
			command, _, found = strings.Cut(command, "\n")
			return found
		})
		shell := exec.CommandContext(t.Context(), "sh", "-c", "curl --silent --show-error "+command)
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		var answer struct{ URL string }
		if err := json.Unmarshal(out, &answer); err != nil || answer.URL == "" {
			t.Errorf("%s: the answer is not JSON with a url: %v: %s", name, err, out)
		}
		s.stop()
	}
}

// Everything that got a 200 survives a SIGKILL of all processes at a random
// moment, under 200 concurrent writers.
func TestKilledUnderLoadLosesNothing(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		args := []string{"--store=file:" + filepath.Join(t.TempDir(), "messages.db")}
		killUnderLoad(t, args, func() {})
	})
	t.Run("redis", func(t *testing.T) {
		redis := startRedis(t)
		killUnderLoad(t, []string{"--store=" + redis.URL(true)}, func() {
			redis.Kill()
			redis.Start()
		})
	})
}

func killUnderLoad(t *testing.T, args []string, killStore func()) {
	const writers = 200
	s := start(t, args...)
	c := client(1)
	var (
		mu       sync.Mutex // guards answered
		answered = make(map[string]string)
		wg       sync.WaitGroup
		count    atomic.Int64
	)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range writers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				text := fmt.Sprintf("writer %d, message %d", i, n)
				link, err := s.post(c, text)
				if err != nil {
					if ctx.Err() == nil && !errors.Is(err, syscall.ECONNREFUSED) {
						t.Logf("before the kill: %v", err)
					}
					return
				}
				count.Add(1)
				mu.Lock()
				answered[link] = text
				mu.Unlock()
			}
		})
	}
	moment := int64(writers + rand.IntN(4*writers))
	eventually(t, time.Minute, "enough messages", func() bool { return count.Load() >= moment })
	cancel()
	s.kill()
	wg.Wait()
	killStore()

	s = start(t, args...)
	for link, text := range answered {
		if status, got, err := s.get(c, link); err != nil || status != http.StatusOK || got != text {
			t.Fatalf("after the kill: got %d %q %v, want %q", status, got, err, text)
		}
	}
	t.Logf("%d messages survived", len(answered))
	s.stop()
}

// A stop under load drops no request: each client with a connection gets an answer.
func TestStopDropsNothing(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", protocol), func(t *testing.T) {
			s := start(t)
			var wg sync.WaitGroup
			var answers atomic.Int64
			for range 16 {
				wg.Go(func() {
					c := client(protocol)
					for {
						_, err := s.post(c, "x")
						if err == nil {
							answers.Add(1)
							continue
						}
						// Only a connection that was never made may fail.
						var dial *net.OpError
						if !errors.As(err, &dial) || dial.Op != "dial" {
							t.Errorf("dropped: %v", err)
						}
						return
					}
				})
			}
			eventually(t, time.Minute, "load", func() bool { return answers.Load() > 100 })
			s.stop()
			wg.Wait()
		})
	}
}

// A request that is under way when the stop comes is finished.
func TestStopWaitsForARequestInFlight(t *testing.T) {
	s := start(t)
	body, write := io.Pipe()
	result := make(chan error, 1)
	go func() {
		answer, err := client(1).Post("https://"+s.address+"/", "text/plain", body)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", answer.StatusCode)
			}
		}
		result <- err
	}()
	if _, err := io.WriteString(write, "first half, "); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	eventually(t, time.Minute, "readiness ends", func() bool { status, _ := s.ready(); return status == http.StatusServiceUnavailable })
	_, _ = io.WriteString(write, "second half")
	_ = write.Close()
	if err := <-result; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	s.wait()
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := start(t, "--drain=1h")
	body, write := io.Pipe()
	defer func() { _ = write.Close() }()
	go func() {
		answer, err := client(1).Post("https://"+s.address+"/", "text/plain", body)
		if err == nil {
			_ = answer.Body.Close()
		}
	}()
	if _, err := io.WriteString(write, "never finished"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGINT)
	eventually(t, time.Minute, "draining", func() bool { return strings.Contains(s.stdout.String(), `"draining"`) })
	s.signal(syscall.SIGINT)
	s.wait()
	if status, ok := s.command.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Errorf("the process ended with %v, want by the signal", s.command.ProcessState)
	}
}

// Readiness and the health command follow the store, and so do the statuses.
func TestReadinessFollowsTheStore(t *testing.T) {
	redis := startRedis(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(redisPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--store="+redis.URL(false), "--redis-password-file="+password)
	healthy := func() bool { return program(t, nil, "health", "--listen-ops="+s.ops).Run() == nil }
	is := func(status int) func() bool {
		return func() bool { got, _ := s.ready(); return got == status }
	}
	c := client(2)
	eventually(t, time.Minute, "ready", is(http.StatusOK))
	if !healthy() {
		t.Error("health fails although the service is ready")
	}
	link, err := s.post(c, "before")
	if err != nil {
		t.Fatal(err)
	}

	redis.Kill()
	eventually(t, time.Minute, "not ready", is(http.StatusServiceUnavailable))
	if _, body := s.ready(); !strings.Contains(body, `"store"`) {
		t.Errorf("readyz does not name the store: %s", body)
	}
	if healthy() {
		t.Error("health succeeds although the store is gone")
	}
	if status, body, err := s.get(c, link); status != http.StatusServiceUnavailable {
		t.Errorf("reading without the store: got %d %s %v, want 503", status, body, err)
	}
	if _, err := s.post(c, "x"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("creating without the store: got %v, want 503", err)
	}

	redis.Start()
	eventually(t, time.Minute, "ready again", is(http.StatusOK))
	if status, text, err := s.get(c, link); status != http.StatusOK || text != "before" {
		t.Errorf("reading after the store's return: got %d %q %v", status, text, err)
	}
	s.stop()
}
