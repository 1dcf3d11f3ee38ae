package logfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueReportsOnceAMinute(t *testing.T) {
	type brief struct {
		after  time.Duration
		failed bool
		lost   uint64
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var told reports
		q := Queue{log: told.logger()}
		seconds := func(n int, err error, lost uint64) {
			for range n {
				q.err = err
				q.report(reportEvery)
				q.lost += lost
				q.report(reportEvery)
				sleep(time.Second)
			}
		}
		full := errors.New("no space left on device")
		seconds(60, nil, 0)   // nothing to report
		seconds(100, full, 2) // at once, and after a minute
		seconds(600, nil, 0)  // after another minute
		seconds(10, nil, 1)   // at once
		seconds(3600, full, 0)
		q.lost += 3
		q.report(0)
		want := []brief{
			{60 * time.Second, true, 0},
			{120 * time.Second, true, 120},
			{180 * time.Second, false, 80},
			{760 * time.Second, false, 1},
		}
		for at := 820 * time.Second; at < 4370*time.Second; at += time.Minute {
			want = append(want, brief{at, true, 0})
		}
		want[4].lost = 9
		want = append(want, brief{4370 * time.Second, true, 3})
		var got []brief
		for _, r := range told.list() {
			got = append(got, brief{r.At.Sub(start), r.Err != nil, r.Lost})
		}
		if !slices.Equal(got, want) {
			t.Errorf("got reports\n%v\nwant\n%v", got, want)
		}
	})
}

func TestQueueReports(t *testing.T) {
	type line struct {
		Event string `json:"event"`
		Error string `json:"error"`
		Level string `json:"level"`
		Lost  uint64 `json:"lost_lines"`
	}
	full := errors.New("no space")
	for _, tc := range []struct {
		before, err error
		lost        uint64
		want        line
	}{
		{nil, full, 12, line{"log_file", "no space", "ERROR", 12}},
		{full, nil, 12, line{"log_file", "", "ERROR", 12}},
		{full, nil, 0, line{"log_file", "", "INFO", 0}},
	} {
		var out bytes.Buffer
		q := Queue{log: slog.New(slog.NewJSONHandler(&out, nil)), err: tc.err, lost: tc.lost}
		q.reported.err = tc.before
		q.report(0)
		var got line
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%+v: got %q: %v", tc, out.String(), err)
		}
		if got != tc.want {
			t.Errorf("after %v now %v and %d lost: got %+v, want %+v", tc.before, tc.err, tc.lost, got, tc.want)
		}
	}
}
