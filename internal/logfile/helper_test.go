package logfile

import (
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const name = "messaging_api.log"

// sleep lets the time of the bubble that it is called in pass, and what is due
// by then happen.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in synctest bubbles only
	synctest.Wait()
}

// zone loads a time zone; Go brings them along.
func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// date returns the midnight of the day that is written yymmdd, in UTC.
func date(t testing.TB, yymmdd string) time.Time {
	t.Helper()
	at, err := time.Parse(dateForm, yymmdd)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// open opens a log that must not report anything.
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
	t.Cleanup(func() { _ = f.Close() }) // closed already, by most tests
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

// lost returns how many lines were reported as lost.
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

// writerFunc is a function that is a writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// missing skips a test whose real part this machine lacks. Where CI is set all
// must be there.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("NOT TESTED: %s", why)
	}
	t.Skipf("NOT TESTED: %s", why)
}

// eventually waits for something that happens soon.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
