package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What docs/OPERATIONS.md says of backups: a copy, put where nothing is, serves
// what was there when it was made, and no longer than it would have lived.
func TestBackupRestoresIntoAnEmptyStore(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "messages.db")
		s := start(t, "--store=file:"+path)
		kept := newBackup(t, s)
		s.stop()
		backup := filepath.Join(t.TempDir(), "backup.db")
		copyFile(t, backup, path)
		later := start(t, "--store=file:"+path)
		lost, err := later.post(client(1), "after the backup")
		if err != nil {
			t.Fatal(err)
		}
		later.stop()
		fresh := filepath.Join(t.TempDir(), "new", "messages.db")
		if err := os.Mkdir(filepath.Dir(fresh), 0o700); err != nil {
			t.Fatal(err)
		}
		copyFile(t, fresh, backup)
		kept.expect(start(t, "--store=file:"+fresh), lost)
	})
	t.Run("file, while it serves", func(t *testing.T) {
		t.Parallel()
		s := start(t, "--store=file:"+filepath.Join(t.TempDir(), "messages.db"))
		kept := newBackup(t, s)
		writing, stopWriting := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for range 8 {
			writers.Go(func() {
				c := client(1)
				for writing.Err() == nil {
					if _, err := s.post(c, strings.Repeat("x", 5000)); err != nil {
						t.Errorf("a creation during a backup: %v", err)
						return
					}
				}
			})
		}
		fresh := filepath.Join(t.TempDir(), "messages.db")
		for _, want := range []int{0, 2} { // the second one would replace the first
			command := program(t, nil, "backup", fresh, "--listen-ops="+s.ops)
			out, _ := command.CombinedOutput()
			if code := command.ProcessState.ExitCode(); code != want {
				t.Fatalf("backup: exit %d, want %d: %s", code, want, out)
			}
		}
		stopWriting()
		writers.Wait()
		if info, err := os.Stat(fresh); err != nil || info.Mode() != 0o600 {
			t.Fatalf("the backup: %v %v, want mode 0600", info, err)
		}
		lost, err := s.post(client(1), "after the backup")
		if err != nil {
			t.Fatal(err)
		}
		s.stop()
		kept.expect(start(t, "--store=file:"+fresh), lost)
	})
	t.Run("redis", func(t *testing.T) {
		old := startRedis(t)
		s := start(t, "--store="+old.URL(true))
		kept := newBackup(t, s)
		old.Stop()
		backup := t.TempDir()
		if err := os.CopyFS(backup, os.DirFS(filepath.Join(old.Dir, "appendonlydir"))); err != nil {
			t.Fatal(err)
		}
		old.Start()
		var lost string
		eventually(t, time.Minute, "a message after the backup", func() (ok bool) {
			var err error
			lost, err = s.post(client(1), "after the backup")
			return err == nil
		})
		s.stop()
		old.Kill()

		fresh := startRedis(t)
		fresh.Stop()
		if err := os.RemoveAll(filepath.Join(fresh.Dir, "appendonlydir")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(fresh.Dir, "appendonlydir"), os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		fresh.Start()
		kept.expect(start(t, "--store="+fresh.URL(true)), lost)
	})
}

// A restorable is what a backup should hold.
type restorable struct {
	texts map[string]string // by link
	brief string            // the link of one that expires soon
}

func newBackup(t *testing.T, s *service) restorable {
	t.Helper()
	b := restorable{texts: make(map[string]string)}
	c := client(1)
	for i := range 50 {
		text := fmt.Sprintf("message %d, %s", i, strings.Repeat("x", i*i))
		link, err := s.post(c, text)
		if err != nil {
			t.Fatal(err)
		}
		b.texts[link] = text
	}
	answer, err := c.Post("https://"+s.address+"/?ttl=10", "text/plain", strings.NewReader("brief"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	b.brief = answer.Header.Get("Location")
	return b
}

// expect reads all that is in the backup from a service that was given it.
func (b restorable) expect(s *service, lost string) {
	s.t.Helper()
	c := client(1)
	for link, text := range b.texts {
		if status, got, err := s.get(c, link); err != nil || status != http.StatusOK || got != text {
			s.t.Errorf("after the restore: got %d %q %v, want %q", status, got, err, text)
		}
	}
	if status, _, err := s.get(c, lost); status != http.StatusNotFound {
		s.t.Errorf("a message from after the backup: got %d %v, want 404", status, err)
	}
	eventually(s.t, time.Minute, "a message's time is over", func() bool {
		status, _, err := s.get(c, b.brief)
		return err == nil && status == http.StatusNotFound
	})
	s.stop()
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A backup that cannot be made says why and leaves no file.
func TestBackupThatFails(t *testing.T) {
	t.Parallel()
	s := start(t, "--store="+startRedis(t).URL(true))
	answer := func(length int, body []byte) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(length))
			_, _ = w.Write(body)
		}))
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	for name, test := range map[string]struct {
		ops, want string
	}{
		"Redis":       {s.ops, "the messages are in Redis"},
		"no service":  {freeAddr(t), "connection refused"},
		"cut short":   {answer(1<<20, make([]byte, 1000)), "unexpected EOF"},
		"not a store": {answer(1000, make([]byte, 1000)), "not a store"},
	} {
		path := filepath.Join(t.TempDir(), "backup.db")
		command := program(t, nil, "backup", path, "--listen-ops="+test.ops)
		out, _ := command.CombinedOutput()
		if code := command.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: exit %d, want 1, and %q: %s", name, code, test.want, out)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the file is left: %v", name, err)
		}
	}
	s.stop()
}
