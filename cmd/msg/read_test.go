package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// A user has a home and knows a service.
type user struct {
	t   *testing.T
	env []string
}

func newUser(t *testing.T, s service) user {
	t.Helper()
	return user{t, []string{"HOME=" + memory(t), "MSG_SERVER=" + s.url, "MSG_PIN=" + tlscert.Pin(s.cert)}}
}

// memory returns a directory in memory, where the system has one: these tests
// write thousands of small files, and none is about the disk.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "msg-test-") //nolint:usetesting // which has no say where
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// program returns the real program as a command; testscript has put it on the path.
func (u user) program(args ...string) *exec.Cmd {
	command := exec.Command("msg", args...)
	command.Env = u.env
	return command
}

// msg runs one command line in this process and returns what it wrote to standard
// output and its exit code.
func (u user) msg(in string, args ...string) (out string, code int) {
	u.t.Helper()
	dir := u.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte(in), 0o600); err != nil {
		u.t.Fatal(err)
	}
	files := make(map[string]*os.File)
	for _, name := range []string{"in", "out", "err"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			u.t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		files[name] = f
	}
	err := run(u.t.Context(), args, u.env, stdio{files["in"], files["out"], files["err"]})
	code = exitCode(err, io.Discard)
	text, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		u.t.Fatal(err)
	}
	return string(text), code
}

// send stores a text and returns its link.
func (u user) send(text string) string {
	u.t.Helper()
	out, code := u.msg(text, "send")
	if code != 0 {
		u.t.Fatalf("msg send: exit code %d", code)
	}
	return strings.TrimSuffix(out, "\n")
}

// start runs a service until the test ends.
func start(t *testing.T) service {
	t.Helper()
	s, stop, err := startService(memory(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return s
}

// A cutter terminates TLS in front of a service and cuts the connection after a
// number of bytes of the service's answers.
type cutter struct {
	listener net.Listener
	service  string

	mu   sync.Mutex // guards left and sent
	left int        // bytes until the cut; negative: no cut
	sent int
}

func newCutter(t *testing.T, s service) (*cutter, *tlscert.SelfSigned) {
	t.Helper()
	source, err := tlscert.NewSelfSigned(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := source.GetCertificate(&tls.ClientHelloInfo{ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, service: strings.TrimPrefix(s.url, "https://"), left: -1}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { c.relay(t.Context(), conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return c, source
}

// relay carries one connection until the test ends.
func (c *cutter) relay(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	service, err := tls.Dial("tcp", c.service, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return
	}
	defer func() { _ = service.Close() }()
	defer context.AfterFunc(ctx, func() { _ = service.Close() })()
	go func() {
		_, _ = io.Copy(service, conn)
		_ = service.Close()
	}()
	answer := make([]byte, 4<<10)
	for {
		n, err := service.Read(answer)
		n, cut := c.take(n)
		if _, werr := conn.Write(answer[:n]); err != nil || werr != nil || cut {
			return
		}
	}
}

// take reports how many of n bytes may pass, and whether the connection ends.
func (c *cutter) take(n int) (may int, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	may = n
	if c.left >= 0 {
		may = min(n, c.left)
		c.left -= may
	}
	c.sent += may
	return may, may < n
}

// set makes the next cut and returns how many bytes have passed since the last call.
func (c *cutter) set(left int) (sent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent = c.sent
	c.left, c.sent = left, 0
	return sent
}

// What the service prints at its start can be pasted.
func TestAnnouncement(t *testing.T) {
	t.Parallel()
	s := start(t)
	text, err := os.ReadFile(s.announced)
	if err != nil {
		t.Fatal(err)
	}
	var line string
	for l := range strings.Lines(string(text)) {
		if strings.Contains(l, "msg send") {
			line = l
		}
	}
	command := exec.Command("sh", "-c", line)
	command.Env = append(newUser(t, s).env[:1], "PATH="+os.Getenv("PATH"))
	link, err := command.Output()
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if got, code := newUser(t, s).msg("", "read", strings.TrimSpace(string(link))); got != "Hello!\n" || code != 0 {
		t.Errorf("the message of %q: got %q and exit code %d", line, got, code)
	}
}

// Wherever the answer is cut off, the next `msg read` has the message, whole.
func TestReadAfterACutAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, source := newCutter(t, s)
	direct := newUser(t, s)
	cut := user{t, []string{"HOME=" + memory(t), "MSG_PIN=" + tlscert.Pin(source.Leaf())}}
	const text = "the text\nwith two lines"
	through := func(l string) string {
		return strings.Replace(l, s.url, "https://"+c.listener.Addr().String(), 1)
	}
	c.set(-1)
	if got, code := cut.msg("", "read", through(direct.send(text))); got != text || code != 0 {
		t.Fatalf("without a cut: got %q and exit code %d", got, code)
	}
	whole := c.set(-1)
	lost := 0
	const step = 5 // bytes
	for n := 0; n < whole; n += step {
		l := through(direct.send(text))
		c.set(n)
		got, code := cut.msg("", "read", l)
		c.set(-1)
		if code == 0 {
			if got != text {
				t.Errorf("cut after %d of %d bytes: got %q and exit code 0", n, whole, got)
			}
			continue
		}
		lost++
		if code != exitUnreachable || got != "" {
			t.Errorf("cut after %d of %d bytes: got %q and exit code %d, want none and %d", n, whole, got, code, exitUnreachable)
		}
		if got, code := cut.msg("", "read", l); got != text || code != 0 {
			t.Errorf("the run after a cut after %d of %d bytes: got %q and exit code %d, want the text", n, whole, got, code)
		}
	}
	if all := whole / step; lost < all/2 {
		t.Errorf("cuts that lost the answer: got %d, want most of %d", lost, all)
	}
}

// Several msg of one user read the same link at once: one of them has the text.
func TestReadAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := newUser(t, s)
	for range 10 {
		l := u.send("the text")
		const readers = 8
		texts, codes := make([]string, readers), make([]int, readers)
		var all sync.WaitGroup
		for i := range readers {
			all.Go(func() { texts[i], codes[i] = u.msg("", "read", l) })
		}
		all.Wait()
		if !slices.Contains(texts, "the text") {
			t.Errorf("nobody has the text; exit codes %v", codes)
		}
		for i, code := range codes {
			if code == 0 && texts[i] != "the text" || code != 0 && code != exitOpened {
				t.Errorf("reader %d: got %q and exit code %d", i, texts[i], code)
			}
		}
	}
}

// A user who interrupts msg while its output is stuck has not lost the text.
func TestReadInterrupted(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := newUser(t, s)
	text := strings.Repeat("x", 150_000) // more than a pipe takes
	l := u.send(text)
	command := u.program("read", l)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it writes
		t.Fatal(err)
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// Wait closes the pipe only after the process has ended.
	_ = command.Wait() // its status is in ProcessState
	if code := command.ProcessState.ExitCode(); code != exitOther || !strings.Contains(stderr.String(), "the message is still there for you") {
		t.Errorf("after an interruption: got exit code %d and %q", code, stderr.String())
	}
	if got, code := u.msg("", "read", l); got != text || code != 0 {
		t.Errorf("after an interruption: got %d bytes and exit code %d, want the text", len(got), code)
	}
}
