package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// documentedVisit has the service do what the lines and scrapes of docs/OPERATIONS.md show: messages
// created, read and missed, one creation too many, and connections too many. The
// client's connection is the last that its address may have.
func documentedVisit(t *testing.T) (*service, *http.Client) {
	t.Helper()
	s := startLimited(t, "--limit-create=1/h:1", "--handshakes-per-client=1/h:3")
	c := client(2)
	link, err := s.post(c, "x")
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := s.get(c, link); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	for _, want := range []struct {
		method, path string
		status       int
	}{{http.MethodPost, "/", http.StatusTooManyRequests}, {http.MethodGet, "/msg/x", http.StatusNotFound}} {
		if status := s.status(c, want.method, want.path, strings.NewReader("x")); status != want.status {
			t.Fatalf("%s %s: got %d, want %d", want.method, want.path, status, want.status)
		}
	}
	for range 3 {
		_, _ = s.post(client(1), "over connections of its own")
	}
	eventually(t, time.Minute, "the event admission", func() bool { return strings.Contains(s.stdout.String(), `"admission"`) })
	return s, c
}

// A shape is what is constant about a line: its members' names in their order, the
// kinds of their values, and the values that say what sort of line it is.
func shape(t *testing.T, line string) string {
	t.Helper()
	var b strings.Builder
	d := json.NewDecoder(strings.NewReader(line))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		fmt.Fprintf(&b, "%v %T", name, value)
		if slices.Contains([]any{"level", "msg", "event", "limit", "status"}, any(name)) {
			fmt.Fprintf(&b, "=%v", value)
		}
		b.WriteString("; ")
	}
	return b.String()
}

// The program writes lines like those in docs/OPERATIONS.md.
func TestDocumentedLinesAreWhatIsWritten(t *testing.T) {
	s, _ := documentedVisit(t)
	written := make(map[string]bool)
	for line := range strings.Lines(s.stdout.String()) {
		written[shape(t, line)] = true
	}
	lines := regexp.MustCompile(`(?m)^\{"time":.*$`).FindAllString(operations(t), -1)
	if len(lines) < 2 {
		t.Errorf("docs/OPERATIONS.md shows %d lines of the log, want a request's and another", len(lines))
	}
	for _, line := range lines {
		if got := shape(t, line); !written[got] {
			t.Errorf("docs/OPERATIONS.md shows a line like %s which is none of those written:\n%s", got,
				strings.Join(slices.Sorted(maps.Keys(written)), "\n"))
		}
	}
}

// The program exports the series that docs/OPERATIONS.md shows, and answers /readyz as it
// shows.
func TestDocumentedScrapeIsWhatIsExported(t *testing.T) {
	s, _ := documentedVisit(t)
	series := s.scrape()
	lines := regexp.MustCompile(`(?m)^messaging_api_(\S+) [0-9.e+]+$`).FindAllStringSubmatch(operations(t), -1)
	if len(lines) < 5 {
		t.Errorf("docs/OPERATIONS.md shows %d lines of a scrape", len(lines))
	}
	for _, line := range lines {
		if _, there := series[line[1]]; !there {
			t.Errorf("docs/OPERATIONS.md shows %s, which is not exported", line[0])
		}
	}
	digits := regexp.MustCompile(`\d+|self-signed [A-Z0-9]+,`) // and the name of a certificate's subject, which is random
	_, ready := s.ready()
	shown := regexp.MustCompile(`(?m)^\{"status":"ready".*$`).FindString(operations(t))
	if got, want := digits.ReplaceAllString(ready, "N"), digits.ReplaceAllString(shown, "N"); strings.TrimSpace(got) != want {
		t.Errorf("/readyz: got %s, but docs/OPERATIONS.md shows %s", got, want)
	}
}

// promtool finds nothing to say about what the program exports while it works.
func TestPromtoolAcceptsAScrapeUnderLoad(t *testing.T) {
	need(t, "promtool")
	s, c := documentedVisit(t)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			answer, err := c.Get("https://" + s.address + "/")
			if err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
		}
	}()
	defer func() {
		close(done)
		<-stopped
	}()
	const working = `http_requests_total{protocol="HTTP/2.0",route="/",status="200"}`
	began := s.scrape()[working]
	eventually(t, time.Minute, "the load is on", func() bool { return s.scrape()[working] > began })
	began = s.scrape()[working]
	for range 5 {
		answer, err := http.Get("http://" + s.ops + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		command.Stdin = answer.Body
		out, err := command.CombinedOutput()
		_ = answer.Body.Close()
		if err != nil || len(out) > 0 {
			t.Fatalf("promtool check metrics: got %v %s", err, out)
		}
	}
	if s.scrape()[working] <= began {
		t.Error("meanwhile no request was answered")
	}
}
