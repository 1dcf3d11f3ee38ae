// Package ops is what an operator sees of the running service: liveness, readiness,
// metrics, backup and takedown on a listener of their own, and log lines.
//
// The listener is never public, because it names what the service depends on. It is never
// rate limited, because an orchestrator kills a service that refuses its probes. This
// package knows no messages, stores or certificates: what to check, count and serve is
// passed in.
package ops

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A Remove removes the message with this id for the operator. It reports whether
// there was one.
type Remove func(ctx context.Context, id string) (found bool, err error)

// NewHandler returns the handler of the operations listener:
//
//	GET /livez       200 as long as the process can answer at all
//	GET /readyz      200 if all checks pass, otherwise 503; JSON that names each check
//	GET /metrics     metrics
//	GET /backup      backup
//	DELETE /msg/ID   204 once remove has removed that message, 404 if there is none
//
// HEAD is as GET. Any other method is a 405, any other path a 404. A Host that is not an IP
// address, localhost or the listener's own name is a 421: otherwise a foreign page could
// read the answers through the browser of someone who can connect to the listener, with a
// name of its own that resolves to the listener's address (DNS rebinding).
func NewHandler(name string, ready *Readiness, metrics, backup http.Handler, remove Remove) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", serveLive)
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /backup", backup)
	mux.Handle("DELETE /msg/{id...}", remove)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Answers are true only now, so that no cache may keep them.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !answersTo(r.Host, name) {
			writeStatus(w, http.StatusMisdirectedRequest, "ask by IP address, as localhost, or by the name in --listen-ops")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// answersTo reports whether a request with this Host field is meant for the listener.
func answersTo(host, listener string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil { // it has no port
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	_, err = netip.ParseAddr(name)
	return err == nil || host == "" || strings.EqualFold(name, "localhost") || strings.EqualFold(name, listener)
}

// ServeHTTP removes a message. Its id is the rest of the path.
func (remove Remove) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch found, err := remove(r.Context(), r.PathValue("id")); {
	case err != nil:
		writeStatus(w, http.StatusServiceUnavailable, "the message is not removed: "+err.Error())
	case !found:
		writeStatus(w, http.StatusNotFound, "there is no such message")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveLive checks nothing: an orchestrator restarts a service that is not alive, and a
// restart repairs neither a store nor a certificate.
func serveLive(w http.ResponseWriter, _ *http.Request) {
	writeStatus(w, http.StatusOK, "alive")
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
	_, _ = w.Write(append(body, '\n')) // an error means that the client has gone
}
