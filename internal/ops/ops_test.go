package ops_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"messaging_api/internal/ops"
)

func pass(context.Context) (string, error) { return "fine", nil }

func fail(context.Context) (string, error) { return "", errors.New("refused") }

// handler is a handler of everything, with these checks.
func handler(checks ...ops.Check) http.Handler {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") })
	backup := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "backup") })
	return ops.NewHandler("ops.internal", ops.NewReadiness(checks...), metrics, backup, remove)
}

func remove(_ context.Context, id string) (bool, error) {
	if id == "down" {
		return true, errors.New("the store is down")
	}
	return id == "there", nil
}

func TestHandlerAnswers(t *testing.T) {
	const (
		alive    = `{"status":"alive"}` + "\n"
		notReady = `{"status":"not ready","checks":[{"name":"certificate","ok":true,"detail":"fine"},{"name":"store","ok":false,"detail":"refused"}]}` + "\n"
	)
	healthy := handler(ops.Check{Name: "store", Run: pass})
	ill := handler(ops.Check{Name: "certificate", Run: pass}, ops.Check{Name: "store", Run: fail})
	for _, tc := range []struct {
		method, path string
		handler      http.Handler
		status       int
		body, allow  string // empty: any body
	}{
		{"GET", "/livez", healthy, 200, alive, ""},
		{"GET", "/livez", ill, 200, alive, ""},
		{"HEAD", "/livez", healthy, 200, alive, ""}, // a server leaves the body out
		{"GET", "/readyz", healthy, 200, `{"status":"ready","checks":[{"name":"store","ok":true,"detail":"fine"}]}` + "\n", ""},
		{"GET", "/readyz", ill, 503, notReady, ""},
		{"HEAD", "/readyz", ill, 503, notReady, ""},
		{"POST", "/livez", healthy, 405, "", "GET, HEAD"},
		{"OPTIONS", "/readyz", healthy, 405, "", "GET, HEAD"},
		{"BREW", "/readyz", healthy, 405, "", "GET, HEAD"},
		{"GET", "/", healthy, 404, "", ""},
		{"POST", "/x", healthy, 404, "", ""},
		{"GET", "/livez/", healthy, 404, "", ""},
		{"GET", "/metrics", healthy, 200, "metrics", ""},
		{"POST", "/metrics", healthy, 405, "", "GET, HEAD"},
		{"GET", "/backup", healthy, 200, "backup", ""},
		{"DELETE", "/msg/there", healthy, 204, "", ""},
		{"DELETE", "/msg/other", healthy, 404, `{"status":"there is no such message"}` + "\n", ""},
		{"DELETE", "/msg/other/", healthy, 404, `{"status":"there is no such message"}` + "\n", ""},
		{"DELETE", "/msg/down", healthy, 503, `{"status":"the message is not removed: the store is down"}` + "\n", ""},
		{"GET", "/msg/there", healthy, 405, "", "DELETE"},
		{"POST", "/msg/there", healthy, 405, "", "DELETE"},
		{"DELETE", "/livez", healthy, 405, "", "GET, HEAD"},
	} {
		w := httptest.NewRecorder()
		tc.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tc.method, "http://ops.internal"+tc.path, nil))
		if got := w.Body.String(); w.Code != tc.status || tc.body != "" && got != tc.body {
			t.Errorf("%s %s: got %d %s, want %d %s", tc.method, tc.path, w.Code, got, tc.status, tc.body)
		}
		for name, want := range map[string]string{"Allow": tc.allow, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", tc.method, tc.path, name, got, want)
			}
		}
	}
}

// A Host that a foreign page can have is refused.
func TestHandlerKnowsItsHosts(t *testing.T) {
	h := handler()
	for host, want := range map[string]int{
		"127.0.0.1:8081": 200, "127.0.0.1": 200, "[::1]:8081": 200, "[::1]": 200, "[fe80::1%eth0]:8081": 200, "192.0.2.7:1": 200,
		"localhost": 200, "LocalHost:8081": 200, "ops.internal:8081": 200, "OPS.internal": 200, "": 200,
		"rebound.example": 421, "rebound.example:8081": 421, "127.0.0.1.rebound.example": 421, "localhost.rebound.example": 421,
		"internal": 421, "1.2.3": 421, ":8081": 421,
	} {
		for _, path := range []string{"/livez", "/readyz", "/nowhere"} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if path == "/nowhere" && want == 200 {
				if w.Code != 404 {
					t.Errorf("Host %q, %s: got %d, want 404", host, path, w.Code)
				}
			} else if w.Code != want {
				t.Errorf("Host %q, %s: got %d, want %d", host, path, w.Code, want)
			}
		}
	}
}
