package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// With --log-dir each line of stdout is also in the file, and SIGHUP turns to a
// new file after another program has renamed it.
func TestLogDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	s := start(t, "--log-dir="+dir)
	name := filepath.Join(dir, "messaging_api.log")
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			return ""
		}
		return string(b)
	}
	if _, err := s.post(client(1), "x"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the request's line in the file", func() bool { return strings.Contains(read(name), `"msg":"request"`) })
	if err := os.Rename(name, name+".moved"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	eventually(t, 10*time.Second, "a line in a new file", func() bool {
		_, _ = s.post(client(1), "x")
		return strings.Contains(read(name), `"msg":"request"`)
	})
	s.stop()
	whole := read(name+".moved") + read(name)
	if whole != s.stdout.String() {
		t.Errorf("the files hold\n%s\nand stdout held\n%s", whole, s.stdout)
	}
}
