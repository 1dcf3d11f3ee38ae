// Package ops is what an operator sees of the running service: whether it
// lives, whether it can serve, its figures, and its log lines.
//
// The first three are served on a listener of its own that is never public, since it names
// what the service depends on, and is never rate limited, since an orchestrator
// whose probes are refused kills a service that only was busy. Nothing here
// reaches into messages, stores or certificates: what there is to check and to
// count is passed in.
package ops

import (
	"encoding/json"
	"net/http"
)

// NewHandler returns the whole of the operations listener:
//
//	/livez    200 as long as the process can answer at all
//	/readyz   200 if ready says so, otherwise 503; JSON naming each check
//	/metrics  metrics, where it is not nil
//
// for GET and HEAD. Any other method there is a 405, any other path a 404.
func NewHandler(ready *Readiness, metrics http.Handler) http.Handler {
	return &handler{ready, metrics}
}

type handler struct {
	ready   *Readiness
	metrics http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// An answer that a cache or a browser keeps or reinterprets tells about
	// another moment than now.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	serve := h.route(r.URL.Path)
	switch {
	case serve == nil:
		writeStatus(w, http.StatusNotFound, "not found")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		writeStatus(w, http.StatusMethodNotAllowed, "method not allowed")
	default:
		serve(w, r)
	}
}

// route returns nil for a path that is not here. It is not a ServeMux: that
// would answer //livez and its like with a redirect.
func (h *handler) route(path string) http.HandlerFunc {
	switch {
	case path == "/livez":
		return serveLive
	case path == "/readyz":
		return h.serveReady
	case path == "/metrics" && h.metrics != nil:
		return h.metrics.ServeHTTP
	}
	return nil
}

// serveLive checks nothing: an orchestrator restarts what is not alive, and a
// restart mends neither a store nor a certificate.
func serveLive(w http.ResponseWriter, _ *http.Request) {
	writeStatus(w, http.StatusOK, "alive")
}

func (h *handler) serveReady(w http.ResponseWriter, r *http.Request) {
	report := h.ready.Report(r.Context())
	body := struct {
		Status string   `json:"status"`
		Checks []Result `json:"checks"`
	}{"ready", report}
	status := http.StatusOK
	if !report.OK() {
		body.Status, status = "not ready", http.StatusServiceUnavailable
	}
	writeJSON(w, status, body)
}

func writeStatus(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, struct {
		Status string `json:"status"`
	}{text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only strings and bools get here
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // an error means that the prober has gone
}
