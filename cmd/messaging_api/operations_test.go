package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// operations is what docs/OPERATIONS.md says.
func operations(t *testing.T) string {
	t.Helper()
	return document(t, "docs/OPERATIONS.md")
}

// Each alert has its section, and each section its alert.
func TestEachAlertIsExplained(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/messaging_api.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := func(pattern, text string) map[string]bool {
		found := make(map[string]bool)
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			found[match[1]] = true
		}
		return found
	}
	alerts := names(`(?m)alert: (\w+)$`, string(rules))
	sections := names(`(?m)^### (\w+)$`, operations(t))
	if len(alerts) == 0 {
		t.Error("there are no alerts")
	}
	for alert := range alerts {
		if !sections[alert] {
			t.Errorf("docs/OPERATIONS.md does not explain %s", alert)
		}
	}
	for section := range sections {
		if !alerts[section] {
			t.Errorf("docs/OPERATIONS.md explains %s, which is no alert", section)
		}
	}
}

// The lines with jq work as they stand, on a log of the real service, and find
// something but for the one with an id in it.
func TestOperationsReadsLogs(t *testing.T) {
	need(t, "jq")
	dir := t.TempDir()
	s := startLimited(t, "--log-dir="+dir, "--limit-create=1/h:1", "--handshakes-per-client=1/h:4")
	c := client(1)
	if _, err := s.post(c, "x"); err != nil {
		t.Fatal(err)
	}
	if status := s.status(c, http.MethodPost, "/", strings.NewReader("x")); status != http.StatusTooManyRequests {
		t.Fatalf("a creation too many: got %d", status)
	}
	for _, event := range []string{"admission", "requests"} {
		eventually(t, time.Minute, "the event "+event, func() bool {
			for range floodLines {
				s.status(c, http.MethodPut, "/", nil)
			}
			_, _ = s.post(client(1), "in the end a connection too many")
			return strings.Contains(s.stdout.String(), `"`+event+`"`)
		})
	}
	s.stop()
	commands := regexp.MustCompile(`(?m)^jq .*$`).FindAllString(operations(t), -1)
	if len(commands) < 5 {
		t.Fatalf("docs/OPERATIONS.md has %d lines with jq", len(commands))
	}
	for _, line := range commands {
		command := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", line)
		command.Dir = dir
		out, err := command.CombinedOutput()
		const enough = 128 + int(syscall.SIGPIPE) // head has read as much as it shows
		if err != nil && command.ProcessState.ExitCode() == enough {
			err = nil
		}
		if err != nil || len(out) == 0 && !strings.Contains(line, "--arg") {
			t.Errorf("%s: got %v %q", line, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, logName)); err != nil {
		t.Error(err)
	}
}

// Each event that the code writes is in the table.
func TestEachEventIsExplained(t *testing.T) {
	text := operations(t)
	events := regexp.MustCompile(`(?:"event", |slog\.String\("event", |occasion\{|event[A-Z]\w* += )"(\w+)"`)
	found := 0
	for _, pattern := range []string{"../../internal/*/*.go", "*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range events.FindAllStringSubmatch(string(source), -1) {
				found++
				if !strings.Contains(text, "`"+match[1]+"`") {
					t.Errorf("%s: docs/OPERATIONS.md does not explain the event %q", name, match[1])
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d events in the code", found)
	}
}
