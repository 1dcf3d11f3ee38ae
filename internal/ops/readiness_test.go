package ops_test

import (
	"context"
	"errors"
	"slices"
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

// A probe that is cancelled does not make the report of others a failure.
func TestReportIgnoresCancellation(t *testing.T) {
	r := ops.NewReadiness(ops.Check{Name: "store", Run: func(ctx context.Context) (string, error) { return "", ctx.Err() }})
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, ctx := range []context.Context{gone, t.Context()} {
		if got := r.Report(ctx); !got.OK() {
			t.Errorf("Report: got %+v, want ready", got)
		}
	}
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

// A failure is kept as long as a success: the service is ready within a second after
// its store is back.
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

// A check that uses up the second leaves no time for the others, which fail too.
func TestReportBoundsSlowChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) (string, error) {
			select {
			case <-time.After(time.Hour):
				return "", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		r := ops.NewReadiness(ops.Check{Name: "a", Run: pass}, ops.Check{Name: "b", Run: slow}, ops.Check{Name: "c", Run: slow})
		start := time.Now()
		got := r.Report(t.Context())
		late := context.DeadlineExceeded.Error()
		want := ops.Report{{Name: "a", OK: true, Detail: "fine"}, {Name: "b", Detail: late}, {Name: "c", Detail: late}}
		if !slices.Equal(got, want) || time.Since(start) != time.Second {
			t.Errorf("Report: got %+v after %v, want %+v after a second", got, time.Since(start), want)
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
