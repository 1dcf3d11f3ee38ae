package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// A session is the real program on a pseudo-terminal.
type session struct {
	t       *testing.T
	command *exec.Cmd
	person  *os.File // the person's side of the terminal
	ended   chan struct{}

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

// Write keeps what the terminal shows.
func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *session) shows() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func onTerminal(u user, args ...string) *session {
	u.t.Helper()
	s := &session{t: u.t, command: u.program(args...), ended: make(chan struct{})}
	person, terminal, err := pty.Open()
	if err != nil {
		u.t.Fatal(err)
	}
	s.person = person
	s.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.command.Stdin, s.command.Stdout, s.command.Stderr = terminal, terminal, terminal
	if err := s.command.Start(); err != nil {
		u.t.Fatal(err)
	}
	go func() { _, _ = io.Copy(s, person) }() // it ends when person is closed
	go func() {
		defer close(s.ended)
		_ = s.command.Wait() // its status is in ProcessState
	}()
	u.t.Cleanup(func() {
		_ = s.command.Process.Kill()
		<-s.ended
		_ = terminal.Close()
		_ = person.Close()
	})
	return s
}

// until waits for a condition.
func (s *session) until(what string, holds func() bool) {
	s.t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	end := time.After(time.Minute)
	for !holds() {
		select {
		case <-look.C:
		case <-end:
			s.t.Fatalf("%s did not come; the terminal shows %q", what, s.shows())
		}
	}
}

func (s *session) echoes() bool {
	s.t.Helper()
	state, err := unix.IoctlGetTermios(int(s.person.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func (s *session) typeIn(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.person, text); err != nil {
		s.t.Fatal(err)
	}
}

// answer types a line after a prompt, when the echo is off.
func (s *session) answer(prompt, text string) {
	s.t.Helper()
	s.until(prompt, func() bool { return strings.Contains(s.shows(), prompt) && !s.echoes() })
	s.typeIn(text)
}

// end waits for the end of the program and checks its exit code and the terminal.
func (s *session) end(code int) {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		s.t.Fatalf("msg does not end; the terminal shows %q", s.shows())
	}
	if got := s.command.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code: got %d, want %d; the terminal shows %q", got, code, s.shows())
	}
	if !s.echoes() {
		s.t.Error("the terminal does not echo any more")
	}
}

// A passphrase is not shown, and an interruption at a prompt ends msg at once and
// brings the echo back.
func TestPrompts(t *testing.T) {
	t.Parallel()
	u := newUser(t, start(t))
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte("the text\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	s := onTerminal(u, "send", "--passphrase", file)
	s.answer("Passphrase: ", "correct horse\n")
	s.answer("The same again: ", "correct horse\n")
	s.end(0)
	s.until("the link", func() bool { return strings.Contains(s.shows(), "#2") })
	if strings.Contains(s.shows(), "horse") {
		t.Errorf("the terminal shows the passphrase: %q", s.shows())
	}

	s = onTerminal(u, "send", "--passphrase", file)
	s.answer("Passphrase: ", "\x03") // Ctrl-C
	s.end(exitOther)

	s = onTerminal(u, "send")
	s.until("the prompt for the text", func() bool { return strings.Contains(s.shows(), "end it with Ctrl-D") })
	s.typeIn("never min\x03")
	s.end(exitOther)

	s = onTerminal(u, "read")
	s.until("the prompt for the link", func() bool { return strings.Contains(s.shows(), "paste the link") })
	s.typeIn("\x03")
	s.end(exitOther)
}
