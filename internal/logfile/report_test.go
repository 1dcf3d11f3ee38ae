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

func TestReporterReportsOnceAMinute(t *testing.T) {
	type report struct {
		after  time.Duration
		failed bool
		lost   uint64
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var got []report
		r := reporter{hook: func(r Report) { got = append(got, report{time.Since(start), r.Err != nil, r.Lost}) }}
		seconds := func(n int, err error, lost int) {
			for range n {
				r.set(err)
				r.lose(lost)
				sleep(time.Second)
			}
		}
		full := errors.New("no space left on device")
		seconds(60, nil, 0)   // nothing to report
		seconds(100, full, 2) // at once, and after a minute
		seconds(600, nil, 0)  // after another minute
		seconds(10, nil, 1)   // at once
		seconds(3600, full, 0)
		r.lose(3)
		r.last()
		want := []report{
			{60 * time.Second, true, 0},
			{120 * time.Second, true, 120},
			{180 * time.Second, false, 80},
			{760 * time.Second, false, 1},
		}
		for at := 820 * time.Second; at < 4370*time.Second; at += time.Minute {
			want = append(want, report{at, true, 0})
		}
		want[4].lost = 9
		want = append(want, report{4370 * time.Second, true, 3})
		if !slices.Equal(got, want) {
			t.Errorf("got reports\n%v\nwant\n%v", got, want)
		}
	})
}

func TestLogTo(t *testing.T) {
	for _, tc := range []struct {
		report       Report
		level, error string
	}{
		{Report{Err: errors.New("no space"), Lost: 12}, "ERROR", "no space"},
		{Report{Lost: 12}, "ERROR", "none: lines are written again"},
		{Report{}, "INFO", "none: lines are written again"},
	} {
		var out bytes.Buffer
		LogTo(slog.New(slog.NewJSONHandler(&out, nil)))(tc.report)
		type line struct {
			Event string `json:"event"`
			Error string `json:"error"`
			Level string `json:"level"`
			Lost  uint64 `json:"lost_lines"`
		}
		var got line
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%+v: got %q: %v", tc.report, out.String(), err)
		}
		if want := (line{Event: "log_file", Level: tc.level, Error: tc.error, Lost: tc.report.Lost}); got != want {
			t.Errorf("%+v: got %+v, want %+v", tc.report, got, want)
		}
	}
}
