package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/redistest"
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
	t.Run("redis", func(t *testing.T) {
		old := redistest.New(t)
		s := start(t, "--store="+old.URL(true))
		kept := newBackup(t, s)
		old.Stop()
		backup := t.TempDir()
		if err := os.CopyFS(backup, os.DirFS(filepath.Join(old.Dir, "appendonlydir"))); err != nil {
			t.Fatal(err)
		}
		old.Start()
		var lost string
		eventually(t, 20*time.Second, "a message after the backup", func() (ok bool) {
			var err error
			lost, err = s.post(client(1), "after the backup")
			return err == nil
		})
		s.stop()
		old.Kill()

		fresh := redistest.New(t)
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

// A backup is what it should hold.
type backup struct {
	texts map[string]string // by link
	brief string            // the link of one that expires soon
}

func newBackup(t *testing.T, s *service) backup {
	t.Helper()
	b := backup{texts: make(map[string]string)}
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
func (b backup) expect(s *service, lost string) {
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
	eventually(s.t, 20*time.Second, "a message's time is over", func() bool {
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
