package logfile

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const name = "messaging_api.log"

// sleep lets the time of its bubble pass, and waits until all goroutines are idle.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in synctest bubbles only
	synctest.Wait()
}

// zone loads a time zone.
func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// useZone makes loc the local time zone until the test ends.
func useZone(t testing.TB, loc *time.Location) {
	local := time.Local
	time.Local = loc
	t.Cleanup(func() { time.Local = local })
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
func open(t testing.TB, dir string, loc *time.Location) *Queue {
	t.Helper()
	return openReporting(t, dir, loc, slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		t.Errorf("reported %s, want nothing", p)
		return len(p), nil
	}), nil)))
}

func openReporting(t testing.TB, dir string, loc *time.Location, log *slog.Logger) *Queue {
	t.Helper()
	useZone(t, loc)
	f, err := Open(dir, name, 0, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // closed already, by most tests
	return f
}

// A report is what a line about a log file says.
type report struct {
	Level slog.Level
	Err   error
	Lost  uint64
	At    time.Time
}

// reports is a slog.Handler that collects such lines.
type reports struct {
	slog.Handler

	mu  sync.Mutex // guards all
	all []report
}

func (r *reports) logger() *slog.Logger { return slog.New(r) }

func (r *reports) Enabled(context.Context, slog.Level) bool { return true }

func (r *reports) Handle(_ context.Context, record slog.Record) error {
	got := report{Level: record.Level, At: record.Time}
	record.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "error":
			got.Err, _ = a.Value.Any().(error)
		case "lost_lines":
			got.Lost = a.Value.Uint64()
		}
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, got)
	return nil
}

func (r *reports) list() []report {
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

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// missing skips a test that this machine cannot run. It fails where CI is set.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("NOT TESTED: %s", why)
	}
	t.Skipf("NOT TESTED: %s", why)
}

// eventually waits until ok.
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
