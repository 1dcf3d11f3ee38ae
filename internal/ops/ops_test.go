package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"messaging_api/internal/ops"
)

func pass(context.Context) (string, error) { return "fine", nil }

func fail(context.Context) (string, error) { return "", errors.New("refused") }

// answer is the JSON of every route but /metrics.
type answer struct {
	Status string       `json:"status"`
	Checks []ops.Result `json:"checks"`
}

func get(t *testing.T, h http.Handler, method, path string) (*httptest.ResponseRecorder, answer) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "http://ops"+path, nil))
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Errorf("%s %s: the body is not JSON: %v", method, path, err)
	}
	return w, a
}

func TestHandlerAnswers(t *testing.T) {
	healthy := ops.NewHandler("ops", ops.NewReadiness(ops.Check{Name: "store", Run: pass}), nil, nil, nil)
	ill := ops.NewHandler("ops", ops.NewReadiness(
		ops.Check{Name: "certificate", Run: pass}, ops.Check{Name: "store", Run: fail}), nil, nil, nil)
	for _, tc := range []struct {
		name, method, path string
		handler            http.Handler
		status             int
		want               answer
	}{
		{"alive", "GET", "/livez", healthy, 200, answer{Status: "alive"}},
		{"alive though not ready", "GET", "/livez", ill, 200, answer{Status: "alive"}},
		{"ready", "GET", "/readyz", healthy, 200,
			answer{"ready", []ops.Result{{Name: "store", OK: true, Detail: "fine"}}}},
		{"not ready", "GET", "/readyz", ill, 503,
			answer{"not ready", []ops.Result{{Name: "certificate", OK: true, Detail: "fine"}, {Name: "store", Detail: "refused"}}}},
		{"HEAD", "HEAD", "/livez", healthy, 200, answer{Status: "alive"}},
		{"HEAD when not ready", "HEAD", "/readyz", ill, 503,
			answer{"not ready", []ops.Result{{Name: "certificate", OK: true, Detail: "fine"}, {Name: "store", Detail: "refused"}}}},
		{"POST", "POST", "/livez", healthy, 405, answer{Status: "method not allowed"}},
		{"OPTIONS", "OPTIONS", "/readyz", healthy, 405, answer{Status: "method not allowed"}},
		{"invented method", "BREW", "/readyz", healthy, 405, answer{Status: "method not allowed"}},
		{"root", "GET", "/", healthy, 404, answer{Status: "not found"}},
		{"POST elsewhere", "POST", "/x", healthy, 404, answer{Status: "not found"}},
		{"below", "GET", "/livez/", healthy, 404, answer{Status: "not found"}},
		{"not cleaned", "GET", "//livez", healthy, 404, answer{Status: "not found"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, got := get(t, tc.handler, tc.method, tc.path)
			if resp.Code != tc.status {
				t.Errorf("%s %s: got status %d, want %d", tc.method, tc.path, resp.Code, tc.status)
			}
			if got.Status != tc.want.Status || !slices.Equal(got.Checks, tc.want.Checks) {
				t.Errorf("%s %s: got %+v, want %+v", tc.method, tc.path, got, tc.want)
			}
			allow := ""
			if tc.status == 405 {
				allow = "GET, HEAD"
			}
			for name, want := range map[string]string{
				"Allow":                  allow,
				"Cache-Control":          "no-store",
				"Content-Type":           "application/json",
				"X-Content-Type-Options": "nosniff",
			} {
				if got := resp.Header().Get(name); got != want {
					t.Errorf("%s %s: %s is %q, want %q", tc.method, tc.path, name, got, want)
				}
			}
		})
	}
}

// The recorder above lets a HEAD's body through; a server does not.
func TestHandlerThroughAServer(t *testing.T) {
	srv := httptest.NewServer(ops.NewHandler("ops", ops.NewReadiness(), nil, nil, nil))
	defer srv.Close()
	for method, want := range map[string]string{"GET": `{"status":"alive"}` + "\n", "HEAD": ""} {
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || string(body) != want || resp.ContentLength != 19 {
			t.Errorf("%s: got %q, length %d, error %v, want %q, 19", method, body, resp.ContentLength, err, want)
		}
	}
}

// Only hosts that no foreign page can have are answered.
func TestHandlerKnowsItsHosts(t *testing.T) {
	h := ops.NewHandler("ops.internal", ops.NewReadiness(), nil, nil, nil)
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

func TestHandlerServesMetrics(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"metrics"}`) })
	h := ops.NewHandler("ops", ops.NewReadiness(), metrics, nil, nil)
	if resp, got := get(t, h, "GET", "/metrics"); resp.Code != 200 || got.Status != "metrics" {
		t.Errorf("GET /metrics: got %d %q, want 200 from the passed handler", resp.Code, got.Status)
	}
	if resp, _ := get(t, h, "POST", "/metrics"); resp.Code != 405 {
		t.Errorf("POST /metrics: got %d, want 405", resp.Code)
	}
}

// An operator removes a message with DELETE, and is told whether there was one.
func TestRemove(t *testing.T) {
	remove := func(_ context.Context, id string) (bool, error) {
		switch id {
		case "there":
			return true, nil
		case "down":
			return true, errors.New("the store is down")
		}
		return false, nil
	}
	h := ops.NewHandler("ops", ops.NewReadiness(), nil, nil, remove)
	for _, tc := range []struct {
		method, path, host string
		status             int
	}{
		{"DELETE", "/msg/there", "ops", 204},
		{"DELETE", "/msg/other", "ops", 404},
		{"DELETE", "/msg/down", "ops", 503},
		{"DELETE", "/msg/there", "evil.example", 421},
		{"GET", "/msg/there", "ops", 405},
		{"POST", "/msg/there", "ops", 405},
		{"DELETE", "/livez", "ops", 405},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), tc.method, "http://"+tc.host+tc.path, nil)
		h.ServeHTTP(w, r)
		if w.Code != tc.status || w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s of %s: got %d %q, want %d", tc.method, tc.path, tc.host, w.Code, w.Header().Get("Allow"), tc.status)
		}
	}
}
