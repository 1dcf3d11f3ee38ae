package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A bubble's time begins at the midnight of 1 January 2000 in UTC.
func TestFileClosesTheDayWithoutAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := open(t, dir, time.UTC)
		write(t, f, "one\n")
		sleep(24*time.Hour - 1)
		contents(t, dir).want(t, files{name: "one\n"})
		sleep(checkEvery + 1)
		contents(t, dir).want(t, files{name + ".000101": "one\n", name: ""})
		sleep(24 * time.Hour)
		contents(t, dir).want(t, files{name + ".000101": "one\n", name + ".000102": "", name: ""})
	})
}

func TestFileClosesTheDaysOfTheClockChange(t *testing.T) {
	for _, tc := range []struct {
		name  string
		day   time.Time
		lasts time.Duration
	}{
		{"forward", time.Date(2000, 3, 26, 0, 0, 0, 0, zone(t, "Europe/Warsaw")), 23 * time.Hour},
		{"back", time.Date(2000, 10, 29, 0, 0, 0, 0, zone(t, "Europe/Warsaw")), 25 * time.Hour},
		{"forward at midnight", time.Date(2000, 4, 2, 1, 0, 0, 0, zone(t, "America/Havana")), 23 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				sleep(time.Until(tc.day))
				f := open(t, dir, tc.day.Location())
				kept := name + "." + tc.day.Format(dateForm)
				write(t, f, "first\n")
				sleep(tc.lasts - 2*gatherTime)
				write(t, f, "last\n")
				sleep(2 * gatherTime)
				write(t, f, "next\n")
				sleep(gatherTime)
				contents(t, dir).want(t, files{kept: "first\nlast\n", name: "next\n"})
			})
		})
	}
}

// 50 writers and midnight in the middle: each line is whole, there once, and in the file
// of its day; only lines of the last moment before midnight may be in the next one.
func TestFileAcrossMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each = 50, 200
		dir := t.TempDir()
		f := open(t, dir, time.UTC)
		sleep(24*time.Hour - each/2*time.Millisecond)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					write(t, f, fmt.Sprintf("%s %d %d %s.\n", time.Now().Format(dateForm), w, i, strings.Repeat("x", 7*w)))
					sleepAlone(time.Millisecond)
				}
			})
		}
		all.Wait()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got := contents(t, dir)
		if len(got) != 2 {
			t.Errorf("the folder holds %d files, want 2:\n%v", len(got), got)
		}
		seen := make(map[[2]int]bool)
		late := 0
		for file, day := range map[string]string{name + ".000101": "000101", name: "000102"} {
			for line := range strings.Lines(got[file]) {
				var date string
				var w, i int
				_, err := fmt.Sscan(line, &date, &w, &i)
				if want := fmt.Sprintf("%s %d %d %s.\n", date, w, i, strings.Repeat("x", 7*w)); err != nil || line != want || date > day || seen[[2]int{w, i}] {
					t.Fatalf("%s holds %q, want whole lines of %s, each once", file, line, day)
				}
				seen[[2]int{w, i}] = true
				if date < day {
					late++
				}
			}
		}
		if most := writers * int(gatherTime/time.Millisecond+1); late > most {
			t.Errorf("%d lines are in the next day's file, want at most the %d of the last %v", late, most, gatherTime)
		}
		if len(seen) != writers*each {
			t.Errorf("%d lines arrived, want %d", len(seen), writers*each)
		}
	})
}

// sleepAlone is sleep for a goroutine that is not the only one to wait.
func sleepAlone(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in synctest bubbles only
}

// A machine wakes days after it was suspended.
func TestDiskAfterASleepOfThreeDays(t *testing.T) {
	d := newDisk(t)
	d.log(t, "261124", "261127")
	for _, day := range []string{"261130", "261130"} { // and nothing is written on waking
		if _, err := d.write(date(t, day), nil); err != nil {
			t.Fatal(err)
		}
	}
	contents(t, d.dir).want(t, files{name + ".261124": "261124\n", name + ".261127": "261127\n", name: ""})
}

// Old logs are deleted at the start and at midnight.
func TestDiskPrunesEachDay(t *testing.T) {
	d := newDisk(t)
	d.days = 1
	at := date(t, "261124").Add(12 * time.Hour)
	put(t, d.dir, files{name + ".261122": "", name + ".261123": ""})
	for _, step := range []struct {
		after time.Duration
		want  files
	}{
		{0, files{name: "", name + ".261123": ""}},
		{12*time.Hour - 1, files{name: "", name + ".261123": ""}},
		{12 * time.Hour, files{name: "", name + ".261124": ""}},
		{36 * time.Hour, files{name: "", name + ".261125": ""}},
	} {
		if _, err := d.write(at.Add(step.after), nil); err != nil {
			t.Fatal(err)
		}
		contents(t, d.dir).want(t, step.want)
	}
}

// Another program renames the log: a new one is made, also without a line.
func TestFileAfterTheLogIsRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := open(t, dir, time.UTC)
		write(t, f, "one\n")
		sleep(gatherTime)
		path := dir + "/" + name
		if err := os.Rename(path, path+".moved"); err != nil {
			t.Fatal(err)
		}
		sleep(checkEvery)
		contents(t, dir).want(t, files{name + ".moved": "one\n", name: ""})
		write(t, f, "two\n")
		sleep(gatherTime)
		contents(t, dir).want(t, files{name + ".moved": "one\n", name: "two\n"})
	})
}

func TestFileClose(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, time.UTC)
	write(t, f, "one\n")
	write(t, f, "two\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	contents(t, dir).want(t, files{name: "one\ntwo\n"})
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close after Close: got %v, want %v", err, os.ErrClosed)
	}
}

func TestOpenRefusesAFolderThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, files{"file": ""})
	if f, err := Open(dir+"/file", name, 0, nil); err == nil {
		t.Errorf("Open in a file: got %v, want an error", f)
	}
	if f, err := Open("/proc/self", name, 0, nil); err == nil {
		t.Errorf("Open in a folder of the kernel's: got %v, want an error", f)
	}
	open(t, dir+"/new/folder", time.UTC)
	if info, err := os.Stat(dir + "/new/folder"); err != nil || info.Mode().Perm()&^0o750 != 0 {
		t.Errorf("Open in a new folder: got %v, %v, want drwxr-x--- at most", info, err)
	}
}

// A second process must not log to the folder. A second open folder stands in for it.
func TestOpenRefusesAFolderInUse(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, time.UTC)
	for range 2 {
		if _, err := Open(dir, name, 0, nil); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Open of a folder in use: got %v, want %v, with the folder", err, ErrInUse)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, open(t, dir, time.UTC), "x\n")
}

// The folder is removed and made again: lines wait in between.
func TestFileOutlivesItsFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() + "/log"
		var told reports
		f := openReporting(t, dir, time.UTC, told.logger())
		write(t, f, "one\n")
		sleep(gatherTime)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			write(t, f, "two\n")
			sleep(30 * time.Second)
		}
		if got := told.list(); len(got) != 2 || !errors.Is(got[0].Err, os.ErrNotExist) || !errors.Is(got[1].Err, os.ErrNotExist) {
			t.Errorf("in a minute and a half: got reports %+v, want two that the folder does not exist", got)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		sleep(checkEvery)
		contents(t, dir).want(t, files{name: "two\ntwo\ntwo\n"})
		sleep(time.Minute)
		if got := told.list(); len(got) != 3 || got[2].Err != nil || got[2].Lost != 0 || got[2].Level != slog.LevelInfo {
			t.Errorf("a minute later: got reports %+v, want a third that all is well", got)
		}
		sleep(time.Hour)
		if got := told.list(); len(got) != 3 || f.Lost() != 0 {
			t.Errorf("an hour later: got %d reports, %d lines lost, want no more than 3, none", len(got), f.Lost())
		}
	})
}

// The folder is missing for long: memory is bounded, and each lost line is counted and
// reported.
func TestFileCountsWhatItLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() + "/log"
		var told reports
		f := openReporting(t, dir, time.UTC, told.logger())
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		line := bytes.Repeat([]byte("x"), 1023)
		line = append(line, '\n')
		const sent = 3 * queueSize / 1024
		for i := range sent {
			write(t, f, string(line))
			if i == sent/3 {
				sleep(time.Minute) // the queue has taken a batch and cannot write it
			}
		}
		if f.Lost() == 0 || f.Lost() > sent/2 {
			t.Errorf("of %d lines %d are lost, want some and at most %d", sent, f.Lost(), sent/2)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		sleep(2 * time.Minute)
		if told.lost() != f.Lost() {
			t.Errorf("the reports say that %d lines are lost, want %d", told.lost(), f.Lost())
		}
		if got := uint64(strings.Count(contents(t, dir)[name], "\n")); got+f.Lost() != sent {
			t.Errorf("%d lines are in the file and %d lost, want %d together", got, f.Lost(), sent)
		}
	})
}

// Lines that Close cannot write are lost, and reported.
func TestFileCloseWithoutAFolder(t *testing.T) {
	dir := t.TempDir() + "/log"
	var told reports
	f := openReporting(t, dir, time.UTC, told.logger())
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, f, "one\ntwo\n")
	write(t, f, "three\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f.Lost() != 3 || told.lost() != 3 {
		t.Errorf("%d lines are counted as lost and %d reported, want 3 and 3", f.Lost(), told.lost())
	}
}

// A disk that hangs does not delay Write, and the loss is reported. A pipe that nobody reads
// stands in for it: the write does not return.
func TestFileOnADiskThatHangs(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var told reports
	q := newQueue(&hanging{w}, true, told.logger())
	line := strings.Repeat("x", 1023) + "\n"
	for q.Lost() == 0 { // ends, though nothing is written
		write(t, q, line)
	}
	if got := told.list(); len(got) == 0 || got[0].Err != nil || got[0].Lost == 0 {
		t.Errorf("reported %+v, want lost lines", got)
	}
	if err := q.Close(); err == nil || !strings.Contains(err.Error(), "could not be written within") {
		t.Errorf("Close: got %v, want an error that lines could not be written", err)
	}
	if err := r.Close(); err != nil { // the hanging write fails
		t.Fatal(err)
	}
	<-q.finished
}

// hanging is a disk whose writes take as long as those to its file.
type hanging struct{ file *os.File }

func (h *hanging) write(_ time.Time, lines []byte) (n int, err error) {
	if len(lines) > 0 {
		_, err = h.file.Write(lines)
	}
	return 0, err
}

func (h *hanging) close() { _ = h.file.Close() }
