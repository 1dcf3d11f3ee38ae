package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"messaging_api/internal/message"
)

// Loss and return are said once each, and a store that fails now and then does
// not fill the log.
func TestOutageLog(t *testing.T) {
	var out bytes.Buffer
	w := &outageLog{log: slog.New(slog.NewJSONHandler(&out, nil)), explain: func(err error) error { return err }}
	lost := fmt.Errorf("%w: refused", message.ErrUnavailable)
	now := time.Unix(1e9, 0)
	for _, step := range []struct {
		after time.Duration
		err   error
		want  string // event
	}{
		{0, nil, ""},
		{0, message.ErrNotFound, ""},
		{0, message.ErrFull, ""},
		{0, lost, "store_lost"},
		{time.Second, lost, ""},
		{time.Millisecond, nil, ""},
		{0, lost, ""},
		{outageEnd - 1, nil, ""},
		{1, message.ErrNotFound, "store_back"}, // an answer like any other
		{0, nil, ""},
		{0, lost, "store_lost"},
		{time.Hour, nil, "store_back"},
	} {
		now = now.Add(step.after)
		out.Reset()
		if err := w.note(step.err, now); !errors.Is(err, step.err) {
			t.Errorf("%v: got the error %v", step.err, err)
		}
		got := ""
		for _, line := range records(t, out.String()) {
			got += fmt.Sprint(line["event"])
		}
		if got != step.want {
			t.Errorf("%v later, %v: got event %q, want %q", step.after, step.err, got, step.want)
		}
	}
}
