package logfile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the process that logs to a folder in tests which need
// a process of its own: see child.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOGFILE_TEST_DIR"); dir != "" {
		if err := serveChild(dir, os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

// serveChild obeys the lines on in. "open D" opens the log in dir, in a place that
// is ahead of UTC by the duration D; then "write N" writes N lines; each command
// is answered when it is done. Reports appear on out as they come.
func serveChild(dir string, in io.Reader, out io.Writer) error {
	var f *File
	var loc *time.Location
	commands := bufio.NewScanner(in)
	for sent := 0; commands.Scan(); {
		command, argument, _ := strings.Cut(commands.Text(), " ")
		switch command {
		case "open":
			ahead, err := time.ParseDuration(argument)
			if err != nil {
				return err
			}
			loc = time.FixedZone("test", int(ahead.Seconds()))
			f, err = Open(Config{Dir: dir, Name: name, Location: loc, Report: LogTo(slog.New(slog.NewJSONHandler(out, nil)))})
			if err != nil {
				return err
			}
		case "write":
			lines, err := strconv.Atoi(argument)
			if err != nil {
				return err
			}
			for range lines {
				sent++
				if err := sendLine(f, loc, sent, out); err != nil {
					return err
				}
			}
		}
		if _, err := fmt.Fprintf(out, `{"done":%q}`+"\n", command); err != nil {
			return err
		}
	}
	return f.Close()
}

// sendLine writes a line that names its process, its number and its date, and says
// so on out if the date changed meanwhile, so that the line can be of either.
func sendLine(f *File, loc *time.Location, n int, out io.Writer) error {
	before := time.Now()
	line := childLine(before.In(loc).Format(dateForm), os.Getpid(), n)
	if _, err := io.WriteString(f, line); err != nil {
		return err
	}
	if dayOf(before, loc) == dayOf(time.Now(), loc) {
		return nil
	}
	_, err := fmt.Fprintf(out, `{"either":%q}`+"\n", line)
	return err
}

// childLine is a line of a length of its own.
func childLine(date string, process, n int) string {
	return fmt.Sprintf("%s %d %d %s.\n", date, process, n, strings.Repeat("x", n%300))
}

// A child is such a process.
type child struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// said is a line of a child's output.
type said struct {
	Done   string `json:"done"`
	Either string `json:"either"`
	Event  string `json:"event"`
	Error  string `json:"error"`
	Level  string `json:"level"`
	Lost   uint64 `json:"lost_lines"`
}

// start runs a child in dir, and returns when it runs. Where the test runs as root,
// whom no permission binds, the child runs as nobody.
func start(t testing.TB, dir string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), copySelf(t))} // t.Context ends before the cleanups
	c.cmd.Env = append(os.Environ(), "LOGFILE_TEST_DIR="+dir)
	c.cmd.Stderr = os.Stderr
	if os.Geteuid() == 0 {
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.tell("run")
	c.done(ignore)
	return c
}

const nobody = 65534

// copySelf puts the test binary where nobody can run it: go test builds it in
// a private folder.
func copySelf(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := openFolder(t)
	path := filepath.Join(dir, "logger")
	// A test beside this one that forks meanwhile would take the open file along, and
	// what somebody can still write to cannot be executed (execve(2), ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// openFolder returns a folder that the user nobody can use.
func openFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tell sends a command.
func (c *child) tell(command string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// hear returns the next line that the child says and that is of interest, and
// passes the others to aside.
func (c *child) hear(interest func(said) bool, aside func(said)) said {
	c.t.Helper()
	for c.out.Scan() {
		var s said
		if err := json.Unmarshal(c.out.Bytes(), &s); err != nil {
			c.t.Fatalf("the child said %q: %v", c.out.Text(), err)
		}
		if interest(s) {
			return s
		}
		aside(s)
	}
	c.t.Fatalf("the child has ended: %v", c.out.Err())
	return said{}
}

// done waits for the answer to a command.
func (c *child) done(aside func(said)) {
	c.t.Helper()
	c.hear(func(s said) bool { return s.Done != "" }, aside)
}

func ignore(said) {}

// end closes the child's input and waits for its end; the rest of what it says goes
// to aside.
func (c *child) end(aside func(said)) {
	c.t.Helper()
	if err := c.in.Close(); err != nil {
		c.t.Error(err)
	}
	for c.out.Scan() {
		var s said
		if err := json.Unmarshal(c.out.Bytes(), &s); err != nil {
			c.t.Errorf("the child said %q: %v", c.out.Text(), err)
		}
		aside(s)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the child: %v", err)
	}
}

// missing skips a test whose real part this machine lacks. Where CI is set all
// must be there.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("NOT TESTED: %s", why)
	}
	t.Skipf("NOT TESTED: %s", why)
}

// eventually waits for something that happens soon.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}
