// Package ops is what an operator sees of the running service: whether it
// lives, whether it can serve, its figures, and its log lines.
//
// The first three are served on a listener of its own. It is never public, because
// it names what the service depends on. It is never rate limited, because an
// orchestrator kills a service that refuses its probes. Nothing here knows
// messages, stores or certificates: what there is to check and to count is passed
// in.
package ops

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// NewHandler returns the whole of the operations listener:
//
//	/livez    200 as long as the process can answer at all
//	/readyz   200 if ready says so, otherwise 503; JSON naming each check
//	/metrics  metrics, where it is not nil
//	/backup   backup, where it is not nil
//
// for GET and HEAD, and with DELETE
//
//	/msg/ID   204 once remove has removed that message, 404 if there is none
//
// Any other method there is a 405, any other path a 404. It
// answers where Host is an IP address, localhost, the listener's own name, or
// absent; any other host is a 421. Otherwise a foreign page could read the
// answers through the browser of someone who reaches the listener, with a name of
// its own that resolves to the listener's address (DNS rebinding).
func NewHandler(name string, ready *Readiness, metrics, backup http.Handler, remove Remove) http.Handler {
	return &handler{name, ready, metrics, backup, remove}
}

// A Remove removes the message with this id for the operator. It reports whether
// there was one.
type Remove func(ctx context.Context, id string) (found bool, err error)

type handler struct {
	name    string
	ready   *Readiness
	metrics http.Handler
	backup  http.Handler
	remove  Remove
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A cache or a browser must not keep or reinterpret what is true only now.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	serve, methods := h.route(r.URL.Path), "GET, HEAD"
	allowed := r.Method == http.MethodGet || r.Method == http.MethodHead
	if id, found := strings.CutPrefix(r.URL.Path, "/msg/"); found {
		serve, methods = func(w http.ResponseWriter, r *http.Request) { h.serveRemove(w, r, id) }, http.MethodDelete
		allowed = r.Method == http.MethodDelete
	}
	switch {
	case !h.answersTo(r.Host):
		writeStatus(w, http.StatusMisdirectedRequest, "ask by IP address, as localhost, or by the name in --listen-ops")
	case serve == nil:
		writeStatus(w, http.StatusNotFound, "not found")
	case !allowed:
		w.Header().Set("Allow", methods)
		writeStatus(w, http.StatusMethodNotAllowed, "method not allowed")
	default:
		serve(w, r)
	}
}

// answersTo reports whether a request with this Host field is meant for us.
func (h *handler) answersTo(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil { // it has no port
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return host == "" || strings.EqualFold(name, "localhost") || strings.EqualFold(name, h.name)
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
	case path == "/backup" && h.backup != nil:
		return h.backup.ServeHTTP
	}
	return nil
}

func (h *handler) serveRemove(w http.ResponseWriter, r *http.Request, id string) {
	switch found, err := h.remove(r.Context(), id); {
	case err != nil:
		writeStatus(w, http.StatusServiceUnavailable, "the message is not removed: "+err.Error())
	case !found:
		writeStatus(w, http.StatusNotFound, "there is no such message")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
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
