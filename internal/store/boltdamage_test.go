package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// A start with a damaged file ends in time: with one line that names the file, or
// in service. It never crashes.
func TestBoltOpensDamagedFiles(t *testing.T) {
	good := sampleFile(t, 120)
	dir := t.TempDir()
	pageSize := os.Getpagesize()
	for name, content := range map[string][]byte{
		"text":   []byte("These are not the pages that you are looking for.\n"),
		"long":   bytes.Repeat([]byte("some text, "), len(good)/10),
		"zeros":  make([]byte, len(good)),
		"random": randomBytes(len(good)),
		"empty":  {},
		"whole":  good,
	} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	for page := range len(good) / pageSize {
		for _, off := range []int{1, 16, 100, pageSize / 2, pageSize} {
			length := page*pageSize + off
			writeFile(t, filepath.Join(dir, fmt.Sprintf("cut to %d", length)), good[:length])
		}
	}
	const seed = 20261124
	random := rand.New(rand.NewPCG(seed, seed))
	for i := range 400 {
		bad, name := damaged(random, good, pageSize)
		writeFile(t, filepath.Join(dir, fmt.Sprintf("damage %d %s", i, name)), bad)
	}

	outcomes := openAll(t, dir)
	for name, o := range outcomes {
		switch {
		case name == "empty", name == "whole", name == fmt.Sprintf("cut to %d", len(good)):
			if o.refusal != "" {
				t.Errorf("%s: refused: %s", name, o.refusal)
			}
		case strings.HasPrefix(name, "damage"):
		case o.refusal == "":
			t.Errorf("%s: accepted", name)
		}
	}
	if got := outcomes["whole"].found; got != 120 {
		t.Errorf("the whole file: %d messages, want 120", got)
	}
}

// damaged returns a copy of a file with some of its bytes changed, most often
// where bbolt keeps its numbers.
func damaged(random *rand.Rand, good []byte, pageSize int) (bad []byte, name string) {
	bad = bytes.Clone(good)
	at := random.IntN(len(good) / pageSize * pageSize)
	if random.IntN(4) > 0 {
		at = at/pageSize*pageSize + random.IntN(80)
	}
	switch random.IntN(4) {
	case 0:
		bad[at] ^= 1 << random.IntN(8)
		name = "bit"
	case 1:
		bad[at] = 0xFF
		name = "byte"
	case 2:
		end := min(at+8, len(bad))
		copy(bad[at:end], randomBytes(8))
		name = "number"
	case 3:
		end := min(at+1<<random.IntN(14), len(bad))
		clear(bad[at:end])
		name = "zeros"
	}
	return bad, fmt.Sprintf("%s at page %d + %d", name, at/pageSize, at%pageSize)
}

// Files that are whole, but not this program's.
func TestBoltRefusesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		fill func(*bolt.Tx) error
		want string
	}{
		"another program's": {func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("accounts"))
			if err != nil {
				return err
			}
			return b.Put([]byte("key"), []byte("value"))
		}, "another program"},
		"a newer format": {func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("format"))
			if err != nil {
				return err
			}
			return b.Put([]byte("messaging_api"), []byte("2"))
		}, `its format is "2"`},
		"a bucket is missing": {func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("format"))
			if err != nil {
				return err
			}
			return b.Put([]byte("messaging_api"), []byte("1"))
		}, "damaged"},
	} {
		path := filepath.Join(dir, name)
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(test.fill), db.Close()); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err := errors.Join(err, os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, path, test.want)
		wantMode(t, path, 0o644)
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
}

func TestBoltRefusesWhatItCannotUse(t *testing.T) {
	dir := t.TempDir()
	wantRefusal(t, dir, "not a regular file")

	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, fifo, "not a regular file")

	file := filepath.Join(dir, "file")
	writeFile(t, file, nil)
	wantRefusal(t, filepath.Join(file, "messages.db"), "not a directory")

	wantRefusal(t, filepath.Join(file, "two\nlines", "messages.db"), "not a directory")

	held := filepath.Join(dir, "held.db")
	openBolt(t, held)
	wantRefusal(t, held, "another process")

	elsewhere := filepath.Join(dir, "elsewhere.db")
	other := startChild(t, "hold", elsewhere)
	if got := other.next(); !slices.Equal(got, []string{"open"}) {
		t.Fatalf("the other process said %q", got)
	}
	wantRefusal(t, elsewhere, "another process")
}

// CheckBolt judges as OpenBolt does, and leaves everything as it was.
func TestCheckBolt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := sampleFile(t, 10)
	for name, content := range map[string][]byte{"whole": whole, "cut": whole[:len(whole)/2], "text": []byte("text"), "empty": {}} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	held := filepath.Join(dir, "held")
	openBolt(t, held)
	for name, want := range map[string]string{
		"whole": "is a whole store", "empty": "is empty", "held": "is in use by another process", "none": "does not exist yet",
		"cut": "", "text": "", "none/../text/x": "",
	} {
		path := filepath.Join(dir, name)
		before, _ := os.ReadFile(path)
		state, err := store.CheckBolt(path)
		if state != want || (err != nil) != (want == "") || err != nil && !isRefusal(err.Error(), path) {
			t.Errorf("%s: got %q and %v, want %q", name, state, err, want)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestBoltRefusesAReadOnlyDisk(t *testing.T) {
	dir := smallDisk(t, 1<<20)
	path := filepath.Join(dir, "messages.db")
	openThenClose(t, path, func(*store.Bolt) {})
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantRefusal(t, path, "read-only file system")
	wantRefusal(t, filepath.Join(dir, "new", "messages.db"), "read-only file system")
}

// holdOpen is a process that has a store open until it is killed.
func holdOpen(path string, out io.Writer) {
	if _, err := store.OpenBolt(path, quiet); err != nil {
		_, _ = fmt.Fprintln(out, err)
		return
	}
	_, _ = fmt.Fprintln(out, "open")
	select {}
}

// wantRefusal checks that path is refused in time, in one line that names it
// and says what is wanted.
func wantRefusal(t *testing.T, path, want string) {
	t.Helper()
	timely(t, "opening "+path, func() {
		b, err := store.OpenBolt(path, quiet)
		if err == nil {
			_ = b.Close()
			t.Errorf("%s: accepted", path)
			return
		}
		if !isRefusal(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, want one line that names it and says %q", path, err, want)
		}
	})
}

func isRefusal(text, path string) bool {
	return strings.Contains(text, fmt.Sprintf("%q", path)) && !strings.Contains(text, "\n")
}

// An outcome is what became of a store that was opened in another process.
type outcome struct {
	refusal string // empty where it served
	found   int    // messages that it could read
}

// openAll has another process open each file of a directory, and read and write
// where it serves. That neither takes too long nor crashes.
func openAll(t *testing.T, dir string) map[string]outcome {
	t.Helper()
	outcomes := make(map[string]outcome)
	process := startChild(t, "open files", dir)
	doing := "the start"
	for {
		line := process.next()
		if line == nil {
			break
		}
		switch line[0] {
		case "open":
			doing = line[1]
		case "refused":
			outcomes[doing] = outcome{refusal: line[1]}
		case "served":
			o := outcome{}
			_, _ = fmt.Sscan(line[1], &o.found)
			outcomes[doing] = o
		default:
			t.Errorf("%s: %s", doing, strings.Join(line, " "))
		}
	}
	process.end(doing)
	return outcomes
}

// openFiles opens each file of a directory as a store.
func openFiles(dir string, out io.Writer) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		_, _ = fmt.Fprintf(out, "open\t%s\n", entry.Name())
		path := filepath.Join(dir, entry.Name())
		start := time.Now()
		b, err := store.OpenBolt(path, quiet)
		late(out, "OpenBolt", start)
		if err != nil {
			if !isRefusal(err.Error(), path) {
				_, _ = fmt.Fprintf(out, "wrong\trefused with %q\n", err)
			}
			_, _ = fmt.Fprintf(out, "refused\t%q\n", err)
			continue
		}
		found := 0
		for _, key := range sampleKeys(120) {
			if read(out, b, key) {
				found++
			}
		}
		write(out, b)
		start = time.Now()
		// bbolt keeps a lock when it panics over a damaged page: then Close gives up.
		if err := b.Close(); err != nil && !strings.HasPrefix(entry.Name(), "damage") {
			_, _ = fmt.Fprintf(out, "wrong\tClose: %v\n", err)
		}
		late(out, "Close", start)
		_, _ = fmt.Fprintf(out, "served\t%d\n", found)
	}
}

// read gets a message, and says what goes wrong beyond what the contract allows.
func read(out io.Writer, s messageStore, key message.Key) (found bool) {
	start := time.Now()
	_, err := s.Get(context.Background(), key)
	late(out, "Get", start)
	if err != nil && !errors.Is(err, message.ErrNotFound) && !errors.Is(err, message.ErrUnavailable) {
		_, _ = fmt.Fprintf(out, "wrong\tGet: %v\n", err)
	}
	return err == nil
}

// write puts a message, and says what goes wrong beyond what the contract allows.
func write(out io.Writer, s messageStore) {
	start := time.Now()
	err := s.Put(context.Background(), randomKey(), []byte("x"), nil, time.Hour)
	late(out, "Put", start)
	if err != nil && !errors.Is(err, message.ErrUnavailable) {
		_, _ = fmt.Fprintf(out, "wrong\tPut: %v\n", err)
	}
}

func late(out io.Writer, what string, start time.Time) {
	if took := time.Since(start); took > promise+allowance {
		_, _ = fmt.Fprintf(out, "wrong\t%s took %v\n", what, took)
	}
}

// When a file is damaged while a store serves it, requests fail and the process
// goes on. The usual cause is an operator who copies a backup over the file.
func TestBoltSurvivesDamageWhileItServes(t *testing.T) {
	processes := make(map[string]*child) // all at once: they wait, most of the time
	for name := range damages {
		path := filepath.Join(t.TempDir(), name, "messages.db")
		processes[name] = startChild(t, "serve damaged", path)
	}
	for name, process := range processes {
		for line := process.next(); line != nil; line = process.next() {
			t.Errorf("%s: %s", name, strings.Join(line, " "))
		}
		process.end(name)
	}
}

// damages change a file that is in use.
var damages = map[string]func(path string, size int64) error{
	"emptied":     func(path string, _ int64) error { return os.Truncate(path, 0) },
	"cut":         func(path string, size int64) error { return os.Truncate(path, size/3) },
	"overwritten": func(path string, size int64) error { return overwrite(path, 0, randomBytes(int(size))) },
	"zeros":       func(path string, size int64) error { return overwrite(path, 0, make([]byte, size)) },
	"pages but not the roots": func(path string, size int64) error {
		roots := 2 * int64(os.Getpagesize())
		return overwrite(path, roots, randomBytes(int(size-roots)))
	},
	"free pages without end": func(path string, size int64) error {
		return overwrite(path, 2*int64(os.Getpagesize()), bytes.Repeat([]byte{0xFF}, int(size/2)))
	},
}

func overwrite(path string, at int64, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, at)
	return errors.Join(err, f.Close())
}

// serveDamaged uses a store and damages its file meanwhile. The file's directory
// names the damage.
func serveDamaged(path string, out io.Writer) {
	b, err := store.OpenBolt(path, quiet)
	if err != nil {
		panic(err)
	}
	keys := sampleKeys(120)
	fill(b, keys)
	info, err := os.Stat(path)
	if err != nil {
		panic(err)
	}
	if err := damages[filepath.Base(filepath.Dir(path))](path, info.Size()); err != nil {
		panic(err)
	}
	var users sync.WaitGroup
	for _, key := range keys {
		users.Go(func() {
			read(out, b, key)
			write(out, b)
		})
	}
	users.Wait()
	start := time.Now()
	_ = b.Close() // it may have to give up
	late(out, "Close", start)
}

// sampleFile returns the file of a store with that many messages, as far as bbolt
// uses it: the rest is empty, and many pages long.
func sampleFile(t *testing.T, messages int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "messages.db")
	b, err := store.OpenBolt(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	fill(b, sampleKeys(messages))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content[:boltLength(t, content)]
}

// fill puts a value under each key, from several writers.
func fill(s messageStore, keys []message.Key) {
	var all sync.WaitGroup
	for i, key := range keys {
		all.Go(func() {
			if err := s.Put(context.Background(), key, make([]byte, 20*i), nil, time.Hour); err != nil {
				panic(err)
			}
		})
	}
	all.Wait()
}

func sampleKeys(n int) []message.Key {
	keys := make([]message.Key, n)
	for i := range keys {
		keys[i] = message.Key{byte(i), 1, 2, 3}
	}
	return keys
}

// boltLength is how much of a file bbolt uses.
func boltLength(t *testing.T, content []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	writeFile(t, path, content)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	err = errors.Join(db.View(func(tx *bolt.Tx) error {
		size = int(tx.Size())
		return nil
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
}
