package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// A burst is a store that panics with all that it was given.
type burst struct{ text []byte }

func (b burst) Put(_ context.Context, key message.Key, value []byte, _ time.Duration) error {
	panic(string(b.text) + string(key[:]) + string(value))
}

func (burst) Ping(context.Context) error { return nil }

func (burst) Close() error { return nil }

func (b burst) Get(_ context.Context, key message.Key) ([]byte, error) {
	panic(&struct {
		text []byte
		key  message.Key
	}{b.text, key})
}

// A panic is logged by where it came from, through all that the service logs with,
// and shows nothing of what it holds.
func TestPanicShowsNoSecrets(t *testing.T) {
	dir := t.TempDir()
	o, _, err := parse([]string{"--log-level=debug", "--log-dir=" + dir}, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	out := new(lines)
	log, logs, err := o.openLog(out)
	if err != nil {
		t.Fatal(err)
	}
	table := limit.NewTable(o.rates(), o.LimitClients, time.Now())
	var s secrets
	text := s.fresh()
	store := measured{burst{[]byte(text)}, newMetrics(), &storeWatch{log: log}}
	metrics := newMetrics()
	handler := web.Serve(requestLog(log, newResolver(t), newDigest(log)), requestMetrics{metrics},
		web.Hosts(nil, web.Routes(message.NewBox(store), o.limits(),
			limiter{newResolver(t), limit.NewLocal(table), metrics.Missed}, web.NewInFlight(1, time.Second))))
	id := message.NewID().Reveal()
	path := s.link("/msg/" + id)
	for _, request := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"message":"`+text+`"}`)),
		httptest.NewRequest(http.MethodGet, path, nil),
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusInternalServerError {
			t.Errorf("%s: got %d, want 500", request.Method, answer.Code)
		}
		s.expectNone(t, "the answer", answer.Body.String())
	}
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"stdout": out.String(), "the log's file": string(file)} {
		if n := strings.Count(text, `"event":"panic"`); n != 2 {
			t.Errorf("%s tells of %d panics, want 2:\n%s", what, n, text)
		}
		s.expectNone(t, what, text)
	}
}
