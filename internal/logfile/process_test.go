package logfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// beforeMidnight returns how far a place is ahead of UTC where the day ends in two
// to three seconds. Real files have the kernel's time, which no test can move;
// places are free.
func beforeMidnight() time.Duration {
	now := time.Now().UTC()
	ahead := now.Truncate(24*time.Hour).Add(24*time.Hour).Sub(now) - 2500*time.Millisecond
	if ahead > 12*time.Hour {
		ahead -= 24 * time.Hour
	}
	return ahead.Round(time.Second)
}

// Two processes log to one folder by mistake, from before midnight until after.
// Each line is there, whole, once, and in the file of its day.
func TestTwoProcessesOnOneFolder(t *testing.T) {
	t.Parallel()
	const rounds, perRound = 80, 50 // for 4 s
	dir := openFolder(t)
	children := []*child{start(t, dir), start(t, dir)}
	ahead := beforeMidnight()
	loc := time.FixedZone("test", int(ahead.Seconds()))
	before := dayOf(time.Now(), loc)

	either := make(map[string]bool) // lines written while the day changed
	note := func(s said) {
		if s.Event != "" {
			t.Errorf("a child reports %+v, want no trouble", s)
		}
		either[s.Either] = true
	}
	for _, c := range children {
		c.tell("open " + ahead.String())
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range rounds {
		for _, c := range children {
			c.tell("write " + strconv.Itoa(perRound))
		}
		for _, c := range children {
			c.done(note)
		}
		<-tick.C
	}
	for _, c := range children {
		c.end(note)
	}

	kept := keptName(name, before, 0)
	all := contents(t, dir)
	if len(all) != 2 || all[name] == "" || all[kept] == "" {
		t.Fatalf("the folder holds\n%v\nwant lines in %s and %s and no other file", all, kept, name)
	}
	seen := make(map[[2]int]bool) // process and number
	for file, d := range map[string]day{kept: before, name: before + 1} {
		for line := range strings.Lines(all[file]) {
			var date string
			var process, n int
			_, err := fmt.Sscan(line, &date, &process, &n)
			switch id := [2]int{process, n}; {
			case err != nil || line != childLine(date, process, n):
				t.Fatalf("%s holds a line that is not whole: %q", file, line)
			case date != d.date().Format(dateForm) && !either[line]:
				t.Fatalf("%s holds a line of another day: %q", file, line)
			case seen[id]:
				t.Fatalf("%s holds a line a second time: %q", file, line)
			default:
				seen[id] = true
			}
		}
	}
	if want := 2 * rounds * perRound; len(seen) != want {
		t.Errorf("%d lines arrived, want %d", len(seen), want)
	}
}

// The folder's permissions are withdrawn before midnight, so that the day cannot
// be closed; then they are given back.
func TestPermissionsWithdrawn(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	c := start(t, dir)
	ahead := beforeMidnight()
	loc := time.FixedZone("test", int(ahead.Seconds()))
	before := dayOf(time.Now(), loc)
	c.tell("open " + ahead.String())
	c.tell("write 1")
	eventually(t, "the first line", func() bool { return contents(t, dir)[name] != "" })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	eventually(t, "midnight", func() bool { return dayOf(time.Now(), loc) > before })
	c.tell("write 10")
	trouble := c.hear(func(s said) bool { return s.Event != "" }, ignore)
	if trouble.Level != "ERROR" || trouble.Event != "log_file" || !strings.Contains(trouble.Error, "permission denied") || trouble.Lost != 0 {
		t.Errorf("the child reports %+v, want an error that says permission denied and that nothing is lost yet", trouble)
	}
	if got := len(contents(t, dir)); got != 1 {
		t.Errorf("the folder has %d files while it cannot be written to, want 1", got)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new day's lines", func() bool { return strings.Count(contents(t, dir)[name], "\n") == 10 })
	c.end(ignore)
	if got := strings.Count(contents(t, dir)[keptName(name, before, 0)], "\n"); got != 1 {
		t.Errorf("%s has %d lines, want 1", filepath.Join(dir, keptName(name, before, 0)), got)
	}
}
