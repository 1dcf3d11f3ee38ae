package store_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A child is this test binary run again, as a process that a test may kill or
// that may crash, without the test going down with it.
const (
	childJob  = "STORE_TEST_JOB"
	childPath = "STORE_TEST_PATH"
)

// children are what a child can do; it says on stdout how that goes.
var children = map[string]func(path string, out io.Writer){
	"open files":    openFiles,
	"serve damaged": serveDamaged,
	"write":         writeUntilKilled,
	"hold":          holdOpen,
}

// childLimit ends a child that hangs; the stacks of all its goroutines follow.
const childLimit = 2 * time.Minute

// A child's process.
type child struct {
	t      testing.TB
	job    string
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	errors bytes.Buffer
	limit  *time.Timer
}

func startChild(t testing.TB, job, path string) *child {
	t.Helper()
	c := &child{t: t, job: job, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childJob+"="+job, childPath+"="+path)
	c.cmd.Stderr = &c.errors
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(stdout)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.limit = time.AfterFunc(childLimit, func() { _ = c.cmd.Process.Signal(syscall.SIGQUIT) })
	t.Cleanup(func() {
		c.limit.Stop()
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	return c
}

// next returns the child's next line, in its fields; none when it has ended.
func (c *child) next() []string {
	if !c.lines.Scan() {
		return nil
	}
	return strings.Split(c.lines.Text(), "\t")
}

// kill ends the child as a power cut would.
func (c *child) kill() { _ = c.cmd.Process.Kill() }

// end waits for the child to end by itself, and fails the test if it crashed.
func (c *child) end(doing string) {
	c.t.Helper()
	for c.next() != nil {
	}
	if err := c.cmd.Wait(); err != nil {
		said := c.errors.String()
		c.t.Fatalf("the process that was to %s, at %s: %v\n%.4000s", c.job, doing, err, said)
	}
}
