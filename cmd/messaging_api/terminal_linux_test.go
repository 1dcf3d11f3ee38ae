package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminal opens a pseudo-terminal: what is written to slave can be read from master.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var number, unlocked int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// On a terminal a person sees first where the service listens, and a command to paste. A
// person who stops the terminal's output with Ctrl-S does not stop the service.
func TestTerminal(t *testing.T) {
	master, slave := terminal(t)
	s := &service{t: t, stderr: new(lines), stdout: new(lines), done: make(chan struct{})}
	s.command = program(t, nil, append(noLimits(), "--listen=:0", "--listen-ops=127.0.0.1:0", "--trusted-proxy=0.0.0.0/0")...)
	s.command.Stdout, s.command.Stderr = slave, slave
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		_ = s.command.Wait() // its status is in ProcessState
	}()
	t.Cleanup(s.kill)
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for scanner := bufio.NewScanner(master); scanner.Scan(); {
			_, _ = fmt.Fprintln(s.stdout, scanner.Text())
		}
	}()
	eventually(t, time.Minute, "the line that says that it serves", func() bool { return strings.Contains(s.stdout.String(), "msg=serving") })
	text := s.stdout.String()
	var port int
	if _, err := fmt.Sscanf(text, "messaging_api listens on [::]:%d, on all interfaces", &port); err != nil {
		t.Fatalf("the terminal begins with %q: %v", text, err)
	}
	for _, want := range []string{"Off: --host", "curl --insecure --pinnedpubkey", "level=WARN msg=\"every address is a trusted proxy"} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "msg=configuration") {
		t.Errorf("the terminal has the whole configuration:\n%s", text)
	}

	s.address = fmt.Sprintf("127.0.0.1:%d", port)
	if _, err := io.WriteString(master, "\x13"); err != nil { // Ctrl-S
		t.Fatal(err)
	}
	const posts = 200 // whose lines are far more than a terminal takes while it is stopped
	for range posts {
		if _, err := s.post(client(1), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(master, "\x11"); err != nil { // Ctrl-Q
		t.Fatal(err)
	}
	eventually(t, time.Minute, "all lines", func() bool { return strings.Count(s.stdout.String(), "msg=request ") == posts })
}
