package ops_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"messaging_api/internal/ops"
)

// sleep lets the time of the bubble that it is called in pass.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in synctest bubbles only
}

// counted returns a check that takes a while and counts its runs.
func counted(runs *atomic.Int64, takes time.Duration) ops.Check {
	return ops.Check{Name: "counted", Run: func(context.Context) (string, error) {
		runs.Add(1)
		sleep(takes)
		return "", nil
	}}
}

func TestReportRunsEachCheckOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first, second atomic.Int64
		r := ops.NewReadiness(counted(&first, 300*time.Millisecond), counted(&second, 200*time.Millisecond))
		began := time.Now()
		var probes sync.WaitGroup
		for range 1000 {
			probes.Go(func() {
				if !r.Report(t.Context()).OK() {
					t.Error("Report: not ready, want ready")
				}
			})
		}
		probes.Wait()
		if first.Load() != 1 || second.Load() != 1 {
			t.Errorf("1000 probes ran the checks %d and %d times, want once each", first.Load(), second.Load())
		}
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("two checks took %v, want the longer one's 300ms: they run at once", took)
		}
	})
}

func TestReportLivesForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		r := ops.NewReadiness(counted(&runs, 100*time.Millisecond))
		for _, step := range []struct {
			wait time.Duration
			want int64
		}{{0, 1}, {time.Second - 1, 1}, {1, 2}, {time.Second - 1, 2}, {time.Hour, 3}} {
			sleep(step.wait)
			r.Report(t.Context())
			if got := runs.Load(); got != step.want {
				t.Errorf("%v later: the check has run %d times, want %d", step.wait, got, step.want)
			}
		}
	})
}

// A failure is remembered no longer than a success: the service is ready within
// a second of its store's return.
func TestReportRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		r := ops.NewReadiness(ops.Check{Name: "store", Run: func(context.Context) (string, error) { return "", err }})
		for _, err = range []error{nil, errors.New("refused"), nil} {
			got := r.Report(t.Context())
			if got.OK() != (err == nil) {
				t.Errorf("Report while the store says %v: got %+v", err, got)
			}
			sleep(time.Second)
		}
	})
}

func TestReportBoundsAHungCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		release := make(chan struct{})
		hung := ops.Check{Name: "hung", Run: func(context.Context) (string, error) {
			runs.Add(1)
			<-release // whatever the context says
			return "", nil
		}}
		r := ops.NewReadiness(hung, ops.Check{Name: "well", Run: pass})
		began := time.Now()
		got := r.Report(t.Context())
		want := ops.Report{{Name: "hung", Detail: "no answer for 1s"}, {Name: "well", OK: true, Detail: "fine"}}
		if !slices.Equal(got, want) {
			t.Errorf("Report: got %+v, want %+v", got, want)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Report took %v, want a second", took)
		}
		before := runtime.NumGoroutine()
		const rounds = 100
		for range rounds {
			sleep(time.Second)
			if r.Report(t.Context()).OK() {
				t.Error("Report: ready, want not ready while a check hangs")
			}
		}
		// The runtime counts one that is about to be gone, so a few more say nothing;
		// what this is about would be one for each round.
		if after := runtime.NumGoroutine(); runs.Load() != 1 || after >= before+rounds/2 {
			t.Errorf("a hung check was run %d times, goroutines went from %d to %d, want one run and hardly any more", runs.Load(), before, after)
		}
		close(release)
		sleep(time.Second)
		if got := r.Report(t.Context()); !got.OK() || runs.Load() != 2 {
			t.Errorf("after the check came back: got %+v in %d runs, want ready in 2", got, runs.Load())
		}
	})
}

func TestReportGivesChecksADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ops.NewReadiness(ops.Check{Name: "slow", Run: func(ctx context.Context) (string, error) {
			deadline, ok := ctx.Deadline()
			if left := time.Until(deadline); !ok || left != time.Second {
				t.Errorf("a check's deadline is in %v (%v), want a second", left, ok)
			}
			return "", nil
		}})
		r.Report(t.Context())
	})
}

// A prober that hangs up gets nothing, but takes nothing from the others.
func TestReportOutlivesItsFirstProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		r := ops.NewReadiness(ops.Check{Name: "store", Run: func(ctx context.Context) (string, error) {
			runs.Add(1)
			sleep(500 * time.Millisecond)
			return "", ctx.Err()
		}})
		gone, leave := context.WithCancel(t.Context())
		var probes sync.WaitGroup
		probes.Go(func() {
			if r.Report(gone).OK() {
				t.Error("Report to one who left: ready, want not ready")
			}
		})
		synctest.Wait()
		probes.Go(func() {
			if got := r.Report(t.Context()); !got.OK() {
				t.Errorf("Report to one who stayed: got %+v, want ready", got)
			}
		})
		synctest.Wait()
		leave()
		probes.Wait()
		if runs.Load() != 1 {
			t.Errorf("the check ran %d times, want once", runs.Load())
		}
	})
}

func TestReportSurvivesAPanic(t *testing.T) {
	r := ops.NewReadiness(ops.Check{Name: "bad", Run: func(context.Context) (string, error) { panic("no") }})
	got := r.Report(t.Context())
	if got.OK() || !strings.Contains(got[0].Detail, "panicked") {
		t.Errorf("Report: got %+v, want a failure that says it panicked", got)
	}
}

func TestCloseWaitsForChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var finished atomic.Bool
		release := make(chan struct{})
		r := ops.NewReadiness(ops.Check{Name: "hung", Run: func(context.Context) (string, error) {
			<-release
			finished.Store(true)
			return "", nil
		}})
		r.Report(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close while a check runs: got %v, want DeadlineExceeded", err)
		}
		close(release)
		if err := r.Close(t.Context()); err != nil || !finished.Load() {
			t.Errorf("Close: got %v, the check finished: %v, want nil, true", err, finished.Load())
		}
		if r.Report(t.Context()).OK() {
			t.Error("Report after Close: ready, want not ready")
		}
	})
}
