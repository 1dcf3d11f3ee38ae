package logfile

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// files maps the name of each file in a folder to what it holds.
type files map[string]string

func contents(t testing.TB, dir string) files {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(files)
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			all[entry.Name()] = entry.Type().String()
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = string(text)
	}
	return all
}

func (got files) want(t testing.TB, want files) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("the folder holds\n%v\nwant\n%v", got, want)
	}
}

func (got files) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(got)) {
		fmt.Fprintf(&b, "  %s: %.200q\n", name, got[name])
	}
	return b.String()
}

func put(t testing.TB, dir string, all files) {
	t.Helper()
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func newDisk(t testing.TB) *disk {
	useZone(t, time.UTC)
	d := &disk{dir: t.TempDir(), name: name}
	t.Cleanup(d.close)
	return d
}

// log writes one line of each given day, itself the line.
func (d *disk) log(t testing.TB, days ...string) {
	t.Helper()
	for _, day := range days {
		line := day + "\n"
		if n, err := d.write(date(t, day), []byte(line)); n != len(line) || err != nil {
			t.Fatalf("write on %s: got %d, %v, want %d, nil", day, n, err, len(line))
		}
	}
}

func TestDiskKeepsEachDay(t *testing.T) {
	for _, tc := range []struct {
		name string
		days []string
		want files
	}{
		{"one day", []string{"261124", "261124"}, files{name: "261124\n261124\n"}},
		{"midnight", []string{"261124", "261125"}, files{name + ".261124": "261124\n", name: "261125\n"}},
		{"new year", []string{"261231", "270101"}, files{name + ".261231": "261231\n", name: "270101\n"}},
		{"asleep for three days", []string{"261124", "261127"}, files{name + ".261124": "261124\n", name: "261127\n"}},
		{"the clock steps back", []string{"261124", "261125", "261124", "261125", "261126"}, files{
			name + ".261124": "261124\n", name + ".261124-1": "261124\n",
			name + ".261125": "261125\n", name + ".261125-1": "261125\n", name: "261126\n"}},
		{"a clock that was years ahead", []string{"310101", "261124", "261125"}, files{
			name + ".310101": "310101\n", name + ".261124": "261124\n", name: "261125\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDisk(t)
			d.log(t, tc.days...)
			contents(t, d.dir).want(t, tc.want)
		})
	}
}

// A day without lines is kept too: an empty file says so, a missing one might have
// been lost.
func TestDiskKeepsADayWithoutLines(t *testing.T) {
	d := newDisk(t)
	for _, day := range []string{"261124", "261124", "261125"} {
		if err := d.ready(date(t, day)); err != nil {
			t.Fatal(err)
		}
	}
	contents(t, d.dir).want(t, files{name + ".261124": "", name: ""})
}

func TestDiskNeverOverwrites(t *testing.T) {
	d := newDisk(t)
	put(t, d.dir, files{name + ".261124": "kept", name + ".261124-1": "kept too", name + ".261124-3": "and this"})
	if err := os.Mkdir(filepath.Join(d.dir, name+".261124-2"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.log(t, "261124", "261125")
	contents(t, d.dir).want(t, files{
		name + ".261124": "kept", name + ".261124-1": "kept too", name + ".261124-2": "d---------", name + ".261124-3": "and this",
		name + ".261124-4": "261124\n", name: "261125\n"})
}

// The log of an earlier process is of the day of its last write.
func TestDiskOpensWhatIsThere(t *testing.T) {
	for _, tc := range []struct {
		name, written string
		want          files
	}{
		{"today's", "261124", files{name: "before\n261124\n"}},
		{"yesterday's", "261123", files{name + ".261123": "before\n", name: "261124\n"}},
		{"last month's", "261020", files{name + ".261020": "before\n", name: "261124\n"}},
		{"tomorrow's", "261125", files{name + ".261125": "before\n", name: "261124\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDisk(t)
			put(t, d.dir, files{name: "before\n"})
			written := date(t, tc.written).Add(23*time.Hour + 59*time.Minute)
			if err := os.Chtimes(d.path(), written, written); err != nil {
				t.Fatal(err)
			}
			d.log(t, "261124")
			contents(t, d.dir).want(t, tc.want)
		})
	}
}

// A line that a kill or a power cut has torn does not damage the next one.
func TestDiskEndsATornLine(t *testing.T) {
	d := newDisk(t)
	put(t, d.dir, files{name: "whole\ntor"})
	written := date(t, "261124")
	if err := os.Chtimes(d.path(), written, written); err != nil {
		t.Fatal(err)
	}
	d.log(t, "261124")
	contents(t, d.dir).want(t, files{name: "whole\ntor\n261124\n"})
}

func TestDiskPrunes(t *testing.T) {
	d := newDisk(t)
	d.days = 2
	stays := files{
		name: "", name + ".261122": "", name + ".261122-1": "", name + ".261123": "", name + ".261125": "",
		name + ".261121.gz": "", name + ".261121-0": "", name + ".bak": "", name + ".2611": "", "other.log.200101": "", "messages.db": "",
	}
	put(t, d.dir, stays)
	put(t, d.dir, files{name + ".261121": "", name + ".261121-1": "", name + ".250101": "", name + ".700101": ""})
	if err := os.Mkdir(filepath.Join(d.dir, name+".200101"), 0o700); err != nil {
		t.Fatal(err)
	}
	stays[name+".200101"] = "d---------"
	if err := os.Symlink("messages.db", filepath.Join(d.dir, name+".200102")); err != nil {
		t.Fatal(err)
	}
	stays[name+".200102"] = "L---------"
	if err := d.prune(date(t, "261124")); err != nil {
		t.Fatal(err)
	}
	contents(t, d.dir).want(t, stays)

	d.days = 0
	if err := d.prune(date(t, "400101")); err != nil {
		t.Fatal(err)
	}
	contents(t, d.dir).want(t, stays)
}

func TestDiskMakesFilesForOwnerAndGroup(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	d := newDisk(t)
	d.log(t, "261124", "261125")
	for _, file := range []string{name, name + ".261124"} {
		info, err := os.Stat(filepath.Join(d.dir, file))
		if err != nil || info.Mode() != 0o640 {
			t.Errorf("%s: got mode %v, error %v, want -rw-r-----", file, info.Mode(), err)
		}
	}
}

// The log is not written through a link, nor into a pipe.
func TestDiskRefusesOtherThanFiles(t *testing.T) {
	for kind, create := range map[string]func(path string) error{
		"a link":                    func(path string) error { return os.Symlink("elsewhere", path) },
		"a link to a file":          func(path string) error { return os.Symlink("victim", path) },
		"a named pipe":              func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":                  func(path string) error { return os.Mkdir(path, 0o700) },
		"a link to the null device": func(path string) error { return os.Symlink(os.DevNull, path) },
	} {
		t.Run(kind, func(t *testing.T) {
			d := newDisk(t)
			put(t, d.dir, files{"victim": "untouched"})
			if err := create(d.path()); err != nil {
				t.Fatal(err)
			}
			before := contents(t, d.dir)
			if n, err := d.write(date(t, "261124"), []byte("x\n")); n != 0 || err == nil {
				t.Errorf("write: got %d, %v, want an error", n, err)
			}
			contents(t, d.dir).want(t, before)
		})
	}
}

// Each way in which the open log can be moved.
func TestDiskAfterTheLogIsMoved(t *testing.T) {
	moved := func(t *testing.T, d *disk) {
		if err := os.Rename(d.path(), filepath.Join(d.dir, "moved")); err != nil {
			t.Fatal(err)
		}
	}
	today := "261124"
	t.Run("the next line goes to a new one", func(t *testing.T) {
		d := newDisk(t)
		d.log(t, today)
		moved(t, d)
		d.log(t, today)
		contents(t, d.dir).want(t, files{"moved": "261124\n", name: "261124\n"})
	})
	t.Run("it is not renamed once more at midnight", func(t *testing.T) {
		d := newDisk(t)
		d.log(t, today)
		moved(t, d)
		d.log(t, "261125")
		contents(t, d.dir).want(t, files{"moved": "261124\n", name: "261125\n"})
	})
	t.Run("what replaces it is of the day of its last write", func(t *testing.T) {
		d := newDisk(t)
		d.log(t, today)
		moved(t, d)
		put(t, d.dir, files{name: "another's\n"})
		written := date(t, "261125")
		if err := os.Chtimes(d.path(), written, written); err != nil {
			t.Fatal(err)
		}
		d.log(t, "261125")
		contents(t, d.dir).want(t, files{"moved": "261124\n", name: "another's\n261125\n"})
	})
	t.Run("a deleted log is made again for the next line", func(t *testing.T) {
		d := newDisk(t)
		d.log(t, today)
		if err := os.Remove(d.path()); err != nil {
			t.Fatal(err)
		}
		d.log(t, today)
		contents(t, d.dir).want(t, files{name: "261124\n"})
	})
}
