package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

const someID = "6ac74062-06d5-4f54-91ca-fbab9735d5b4"

// stranger runs a server that is no messaging_api.
func stranger(t *testing.T, h http.HandlerFunc) user {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	return newUser(t, service{url: server.URL, cert: server.Certificate()})
}

func (u user) server() string { return strings.TrimPrefix(u.env[1], "MSG_SERVER=") }

// complain runs msg and returns what it says on standard error, and its exit code.
func (u user) complain(args ...string) (string, int) {
	u.t.Helper()
	command := u.program(args...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, _ := command.Output() // its status is in ProcessState
	if len(out) > 0 {
		u.t.Errorf("msg %q: standard output: got %q, want none", args, out)
	}
	return stderr.String(), command.ProcessState.ExitCode()
}

// What another server answers is neither believed nor shown as it is.
func TestStrangers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte("the text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, body string
		status     int
		header     [2]string
		want       string
		code       int
	}{
		{"redirect", "", 308, [2]string{"Location", "https://elsewhere.example/"}, "answers 308", exitOther},
		{"a page", "<html>", 200, [2]string{"Content-Type", "text/html"}, "does not answer like a messaging_api service", exitOther},
		{"another JSON", `{"ok":true}`, 200, [2]string{}, "does not answer like a messaging_api service", exitOther},
		{"a link elsewhere", `{"url":"http://x/msg/` + someID + `"}`, 200, [2]string{}, "does not answer like", exitOther},
		{"control characters", `{"title":"a\u001b[2Jb","detail":"c\u009bd"}`, 400, [2]string{}, "400 a[2Jb: cd", exitOther},
		{"a busy proxy", "busy", 502, [2]string{}, "the service is busy: try again in 1s", exitUnreachable},
		{"a long wait", "busy", 503, [2]string{"Retry-After", "99999999999999"}, "the service is busy: try again in ", exitUnreachable},
		{"a full service", `{"title":"Insufficient Storage","detail":"Full."}`, 507, [2]string{}, "Insufficient Storage: Full.", exitLimited},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.header[0] != "" {
					w.Header().Set(test.header[0], test.header[1])
				}
				w.WriteHeader(test.status)
				_, _ = fmt.Fprint(w, test.body)
			})
			for _, args := range [][]string{{"send", file}, {"read", u.server() + "/msg/" + someID}} {
				got, code := u.complain(args...)
				if !strings.Contains(got, test.want) || code != test.code {
					t.Errorf("msg %s: got %q and exit code %d, want %q and %d", args[0], got, code, test.want, test.code)
				}
				if strings.Contains(got, someID) {
					t.Errorf("msg %s: the message shows the id: %q", args[0], got)
				}
			}
		})
	}
}

// A service that is busy is asked again, as it says.
func TestWaits(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	u := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprint(w, `{"status":200,"message":"here","expires_at":"2026-01-02T03:04:05.678Z"}`)
	})
	got, code := u.msg("", "read", u.server()+"/msg/"+someID)
	if got != "here" || code != 0 || calls.Load() != 3 {
		t.Errorf("got %q, exit code %d, after %d requests, want the text after 3", got, code, calls.Load())
	}
	calls.Store(0)
	if _, code := u.msg("", "read", "--wait=0s", u.server()+"/msg/"+someID); code != exitUnreachable || calls.Load() != 1 {
		t.Errorf("without waiting: got exit code %d after %d requests, want %d after 1", code, calls.Load(), exitUnreachable)
	}
}
