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

// heard is a report and when it came.
type heard struct {
	after time.Duration
	ill   bool
	lost  uint64
}

func TestTellerSpeaksOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var got []heard // the teller's goroutine's until it is done
		tell := newTeller(func(r Report) { got = append(got, heard{time.Since(began), r.Err != nil, r.Lost}) })
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { defer close(done); tell.run(stop) }()
		sleep(time.Minute) // nothing has happened
		full := errors.New("no space left on device")
		tell.setWriting(full) // said at once
		sleep(250 * time.Millisecond)
		for range 200 { // for 100 s
			tell.lose(1)
			tell.setWriting(full)
			sleep(500 * time.Millisecond)
		}
		tell.setWriting(nil) // said at the next minute
		sleep(10 * time.Minute)
		tell.lose(7) // said at once
		sleep(time.Second)
		tell.setDeleting(full)
		tell.setDeleting(nil) // has come and gone
		sleep(time.Hour)
		tell.setDeleting(full)
		sleep(time.Second)
		tell.lose(3)
		close(stop) // says the rest
		<-done
		want := []heard{
			{1 * time.Minute, true, 0},
			{2 * time.Minute, true, 120},
			{3 * time.Minute, false, 80},
			{12*time.Minute + 40250*time.Millisecond, false, 7},
			{72*time.Minute + 41250*time.Millisecond, true, 0},
			{72*time.Minute + 42250*time.Millisecond, true, 3},
		}
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
		{Report{Lost: 12}, "ERROR", "none: all is written again"},
		{Report{}, "INFO", "none: all is written again"},
	} {
		var out bytes.Buffer
		LogTo(slog.New(slog.NewJSONHandler(&out, nil)))(tc.report)
		var got said
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%+v: got %q: %v", tc.report, out.String(), err)
		}
		if want := (said{Event: "log_file", Level: tc.level, Error: tc.error, Lost: tc.report.Lost}); got != want {
			t.Errorf("%+v: got %+v, want %+v", tc.report, got, want)
		}
	}
}
