package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mountMemory puts a filesystem of its own, in memory, over dir until the test ends
// or unmount is called.
func mountMemory(t *testing.T, dir, options string) (unmount func()) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Logf("%v: %s", err, out)
		missing(t, "a full or read-only filesystem: mounting one needs root on Linux")
	}
	mounted := true
	unmount = func() {
		if !mounted {
			return
		}
		mounted = false
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	t.Cleanup(unmount)
	return unmount
}

// The disk is full for so long that lines are lost, and then has room again. No line is
// torn.
func TestFileOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	mountMemory(t, dir, "size=16m")
	filler := fill(t, dir)
	if err := os.Truncate(filler, 15<<20); err != nil { // room for a part of the lines
		t.Fatal(err)
	}
	var told reports
	f := openReporting(t, dir, time.UTC, told.logger())
	sent := 0
	send := func() {
		sent++
		write(t, f, numbered(sent))
	}
	for f.Lost() == 0 {
		send()
	}
	eventually(t, "the report that the disk is full", func() bool {
		got := told.list()
		return len(got) > 0 && (errors.Is(got[0].Err, syscall.ENOSPC) || got[0].Lost > 0)
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "room for a new line", func() bool { lost := f.Lost(); send(); return f.Lost() == lost })
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if told.lost() != f.Lost() {
		t.Errorf("%d lines are lost and %d reported, want these equal", f.Lost(), told.lost())
	}
	last, lines := 0, 0
	for line := range strings.Lines(contents(t, dir)[name]) {
		var n int
		if _, err := fmt.Sscan(line, &n); err != nil || line != numbered(n) || n <= last {
			t.Fatalf("after line %d the file holds %.40q, want whole lines in their order", last, line)
		}
		last = n
		lines++
	}
	if want := sent - int(f.Lost()); lines != want || last != sent {
		t.Errorf("%d lines are in the file, the last being %d; want %d and %d", lines, last, want, sent)
	}
}

func numbered(n int) string {
	return fmt.Sprintf("%d %s.\n", n, strings.Repeat("x", n%1000))
}

// fill fills a filesystem, and returns the file that takes the room.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for zeros := make([]byte, 1<<16); err == nil; {
		_, err = file.Write(zeros)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// The part of a line for which there was room is removed at once, so that no reader of
// the file sees it.
func TestDiskRemovesATornLine(t *testing.T) {
	d := newDisk(t)
	mountMemory(t, d.dir, "size=64k")
	line := bytes.Repeat([]byte("x"), 10_000)
	line[len(line)-1] = '\n'
	n, err := d.write(time.Now(), bytes.Repeat(line, 10))
	if !errors.Is(err, syscall.ENOSPC) || n == 0 || n%len(line) != 0 {
		t.Errorf("write of ten lines: got %d, %v, want the length of some of them and %v", n, err, syscall.ENOSPC)
	}
	if got := contents(t, d.dir)[name]; len(got) != n {
		t.Errorf("the file has %d bytes, want the %d of whole lines", len(got), n)
	}
}

// A start on a filesystem without room even for a file succeeds.
func TestOpenOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	mountMemory(t, dir, "size=64k,nr_inodes=2")
	put(t, dir, files{"last": ""})
	var told reports
	f := openReporting(t, dir, time.UTC, told.logger())
	write(t, f, "one\n")
	eventually(t, "the report that the disk is full", func() bool {
		got := told.list()
		return len(got) > 0 && errors.Is(got[0].Err, syscall.ENOSPC)
	})
	if err := os.Remove(filepath.Join(dir, "last")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the line", func() bool { return contents(t, dir)[name] == "one\n" })
}

// A folder turns read-only, and writable again.
func TestFileInAReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	var told reports
	f := openReporting(t, dir, time.UTC, told.logger())
	unmount := mountMemory(t, dir, "ro")
	write(t, f, "one\n")
	eventually(t, "the report that the folder is read-only", func() bool {
		got := told.list()
		return len(got) > 0 && errors.Is(got[0].Err, syscall.EROFS)
	})
	write(t, f, "two\n")
	unmount()
	eventually(t, "the lines", func() bool { return strings.HasSuffix(contents(t, dir)[name], "two\n") })
	if got := contents(t, dir)[name]; got != "one\ntwo\n" || f.Lost() != 0 {
		t.Errorf("the file holds %q and %d lines are lost, want both lines and none", got, f.Lost())
	}
}

// A day cannot be closed because its folder is read-only: the lines wait until it is
// writable.
func TestMidnightInAReadOnlyFolder(t *testing.T) {
	d := newDisk(t)
	mountMemory(t, d.dir, "size=1m")
	d.log(t, "261124")
	// The same folder over itself, so that it can be read-only while the log is open.
	for _, options := range []string{"bind", "bind,remount,ro"} {
		if out, err := exec.Command("mount", "-o", options, d.dir, d.dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	n, err := d.write(date(t, "261125"), []byte("261125\n"))
	if n != 0 || !errors.Is(err, syscall.EROFS) {
		t.Errorf("write on the next day: got %d, %v, want 0, %v", n, err, syscall.EROFS)
	}
	if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.log(t, "261125")
	contents(t, d.dir).want(t, files{name + ".261124": "261124\n", name: "261125\n"})
}
