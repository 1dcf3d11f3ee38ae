package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sleep lets the time of the bubble that it is called in pass, and what is due
// by then happen.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in synctest bubbles only
	synctest.Wait()
}

// open opens a log that reports to t, which expects nothing to report.
func open(t testing.TB, dir string, loc *time.Location) *File {
	t.Helper()
	return openReporting(t, dir, loc, func(r Report) { t.Errorf("reported %+v, want nothing", r) })
}

func openReporting(t testing.TB, dir string, loc *time.Location, report func(Report)) *File {
	t.Helper()
	f, err := Open(Config{Dir: dir, Name: name, Location: loc, Report: report})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return f
}

// reports collects what a hook is told.
type reports struct {
	mu  sync.Mutex // guards all
	all []Report
}

func (r *reports) add(report Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, report)
}

func (r *reports) list() []Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// lost returns how many lines are said to be lost.
func (r *reports) lost() (sum uint64) {
	for _, report := range r.list() {
		sum += report.Lost
	}
	return sum
}

func write(t testing.TB, w io.Writer, line string) {
	t.Helper()
	if n, err := io.WriteString(w, line); n != len(line) || err != nil {
		t.Errorf("Write(%q): got %d, %v, want %d, nil", line, n, err, len(line))
	}
}

// A bubble's time begins at the midnight of 1 January 2000 in UTC.
func TestFileClosesTheDayWithoutAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := open(t, dir, time.UTC)
		write(t, f, "one\n")
		sleep(24*time.Hour - 1)
		contents(t, dir).want(t, files{name: "one\n"})
		sleep(linger + 1)
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
				sleep(tc.lasts - 1)
				write(t, f, "last\n")
				sleep(1)
				write(t, f, "next\n")
				sleep(linger)
				contents(t, dir).want(t, files{kept: "first\nlast\n", name: "next\n"})
			})
		})
	}
}

// 50 writers and midnight in the middle: each line whole, once, and in the file of
// the day that it bears.
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
		for file, d := range map[string]string{name + ".000101": "000101", name: "000102"} {
			for line := range strings.Lines(got[file]) {
				var date string
				var w, i int
				_, err := fmt.Sscan(line, &date, &w, &i)
				if want := fmt.Sprintf("%s %d %d %s.\n", d, w, i, strings.Repeat("x", 7*w)); err != nil || line != want || seen[[2]int{w, i}] {
					t.Fatalf("%s holds %q, want %q, once", file, line, want)
				}
				seen[[2]int{w, i}] = true
			}
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

// A machine that was suspended wakes days later with its timers not yet fired.
func TestScribeAfterASleepOfThreeDays(t *testing.T) {
	dir := t.TempDir()
	f, s := newFile(Config{Dir: dir, Name: name, Location: time.UTC})
	defer s.disk.close()
	at := time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)
	f.queue.batch.add(dayOf(at, time.UTC), []byte("before\n"))
	if next := s.step(at); next.Sub(at) > time.Minute {
		t.Errorf("the next look is in %v, want within a minute", next.Sub(at))
	}
	at = at.Add(72 * time.Hour)
	f.queue.batch.add(dayOf(at, time.UTC), []byte("after\n"))
	s.step(at)
	contents(t, dir).want(t, files{name + ".261124": "before\n", name: "after\n"})
	s.step(at.Add(72 * time.Hour)) // and nothing is written on waking
	contents(t, dir).want(t, files{name + ".261124": "before\n", name + ".261127": "after\n", name: ""})
}

func TestScribeLooksAgainAtMidnight(t *testing.T) {
	_, s := newFile(Config{Dir: t.TempDir(), Name: name, Location: time.UTC})
	defer s.disk.close()
	at := time.Date(2026, 11, 24, 23, 59, 30, 0, time.UTC)
	// The kernel stamps files with a clock that can be 10 ms late.
	if got, want := s.step(at), at.Add(30*time.Second+10*time.Millisecond); got.Before(want) || got.Sub(want) > time.Second {
		t.Errorf("at %v: the next look is at %v, want soon after %v", at, got, want)
	}
}

func TestScribeWhenTheClockStepsBack(t *testing.T) {
	dir := t.TempDir()
	f, s := newFile(Config{Dir: dir, Name: name, Location: time.UTC})
	defer s.disk.close()
	midnight := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		at   time.Duration
		line string
	}{{-2 * time.Second, "a\n"}, {time.Second, "b\n"}, {-time.Second, "c\n"}, {-time.Second, ""}, {2 * time.Second, "d\n"}, {time.Hour, "e\n"}} {
		at := midnight.Add(step.at)
		if step.line != "" {
			f.queue.batch.add(dayOf(at, time.UTC), []byte(step.line))
		}
		s.step(at)
	}
	contents(t, dir).want(t, files{name + ".261124": "a\n", name + ".261125": "b\n", name + ".261124-1": "c\n", name: "d\ne\n"})
}

func TestScribePrunesOnceADay(t *testing.T) {
	dir := t.TempDir()
	_, s := newFile(Config{Dir: dir, Name: name, Days: 1, Location: time.UTC})
	defer s.disk.close()
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	put(t, dir, files{name + ".261122": "", name + ".261123": ""})
	s.step(at)
	contents(t, dir).want(t, files{name: "", name + ".261123": ""})
	s.step(at.Add(24 * time.Hour))
	contents(t, dir).want(t, files{name: "", name + ".261124": ""})
}

func TestFileReopens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := open(t, dir, time.UTC)
		write(t, f, "one\n")
		sleep(linger)
		if err := os.Rename(f.path(dir), f.path(dir)+".moved"); err != nil {
			t.Fatal(err)
		}
		write(t, f, "two\n") // not yet written when the log is reopened
		f.Reopen()
		f.Reopen()
		synctest.Wait()
		write(t, f, "three\n")
		sleep(linger)
		contents(t, dir).want(t, files{name + ".moved": "one\ntwo\n", name: "three\n"})
	})
}

func (f *File) path(dir string) string { return dir + "/" + name }

func TestFileClose(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, time.UTC)
	write(t, f, "one\n")
	write(t, f, "two")
	write(t, f, "")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	contents(t, dir).want(t, files{name: "one\ntwo\n"})
	if _, err := io.WriteString(f, "three\n"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: got %v, want %v", err, os.ErrClosed)
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close after Close: got %v, want %v", err, os.ErrClosed)
	}
	f.Reopen() // does nothing, and does not wait for anybody
}

func TestOpenRefusesAFolderThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, files{"file": ""})
	if f, err := Open(Config{Dir: dir + "/file", Name: name}); err == nil {
		t.Errorf("Open in a file: got %v, want an error", f)
	}
	if f, err := Open(Config{Dir: "/proc/self", Name: name}); err == nil {
		t.Errorf("Open in a folder of the kernel's: got %v, want an error", f)
	}
	open(t, dir+"/new/folder", nil)
	if info, err := os.Stat(dir + "/new/folder"); err != nil || info.Mode().Perm()&^0o750 != 0 {
		t.Errorf("Open in a new folder: got %v, %v, want drwxr-x--- at most", info, err)
	}
}

// The folder goes, and comes back: what was logged in between waits for it.
func TestFileOutlivesItsFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() + "/log"
		var told reports
		f := openReporting(t, dir, time.UTC, told.add)
		write(t, f, "one\n")
		sleep(linger)
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
		sleep(retryAfter)
		contents(t, dir).want(t, files{name: "two\ntwo\ntwo\n"})
		sleep(time.Minute)
		if got := told.list(); len(got) != 3 || got[2] != (Report{}) {
			t.Errorf("a minute later: got reports %+v, want a third that all is well", got)
		}
		sleep(time.Hour)
		if got := told.list(); len(got) != 3 || f.Lost() != 0 {
			t.Errorf("an hour later: got %d reports, %d lines lost, want no more than 3, none", len(got), f.Lost())
		}
	})
}

// A folder that is gone for long: memory is bounded, each lost line is counted,
// and each count is said.
func TestFileCountsWhatItLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() + "/log"
		var told reports
		f := openReporting(t, dir, time.UTC, told.add)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		line := bytes.Repeat([]byte("x"), 1023)
		line = append(line, '\n')
		const sent = 3 * queueSize / 1024
		var refused uint64
		for i := range sent {
			if _, err := f.Write(line); err != nil {
				refused++
			}
			if i == sent/2 {
				sleep(time.Minute) // the scribe has taken a batch and cannot write it
			}
		}
		if refused == 0 || f.Lost() != refused || f.Lost() > sent/2 {
			t.Errorf("of %d lines %d were refused and %d counted, want these equal and at most %d", sent, refused, f.Lost(), sent/2)
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

// What Close cannot write is lost, and said to be.
func TestFileCloseWithoutAFolder(t *testing.T) {
	dir := t.TempDir() + "/log"
	var told reports
	f := openReporting(t, dir, time.UTC, told.add)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, f, "one\ntwo\n")
	write(t, f, "three\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f.Lost() != 3 || told.lost() != 3 {
		t.Errorf("%d lines are counted as lost and %d said to be, want 3 and 3", f.Lost(), told.lost())
	}
}

// A disk that hangs holds nobody up. A pipe that nobody reads stands in for it: the
// scribe's write does not return.
func TestFileOnADiskThatHangs(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan Report, 10)
	f, s := newFile(Config{Dir: t.TempDir(), Name: name, Location: time.UTC, Report: func(r Report) { reports <- r }})
	s.disk.file, s.disk.day = w, dayOf(time.Now(), time.UTC)
	f.start(s, time.Now())
	line := bytes.Repeat([]byte("x"), 1023)
	line = append(line, '\n')
	for f.Lost() == 0 { // ends, though nothing is written
		_, _ = f.Write(line)
	}
	if got := <-reports; got.Err != nil || got.Lost == 0 {
		t.Errorf("reported %+v, want lost lines", got)
	}
	if err := f.Close(); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("Close: got %v, want an error that the disk has not answered", err)
	}
	if err := r.Close(); err != nil { // the hanging write fails
		t.Fatal(err)
	}
	<-f.written
}

func TestTee(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, time.UTC)
	var out bytes.Buffer
	write(t, Tee(&out, f), "one\n")
	r, closed, err := os.Pipe()
	if err != nil || r.Close() != nil || closed.Close() != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(Tee(closed, f), "two\n"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write to a closed output: got %v, want its error", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, Tee(&out, f), "three\n")
	if got, want := out.String(), "one\nthree\n"; got != want {
		t.Errorf("the output got %q, want %q", got, want)
	}
	contents(t, dir).want(t, files{name: "one\ntwo\n"})
}
