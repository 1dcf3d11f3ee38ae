package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// With --log-dir each line of stdout is also in the file, and SIGHUP turns to a
// new file after another program has renamed it.
func TestLogDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	s := start(t, "--log-dir="+dir)
	name := filepath.Join(dir, "messaging_api.log")
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			return ""
		}
		return string(b)
	}
	if _, err := s.post(client(1), "x"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the request's line in the file", func() bool { return strings.Contains(read(name), `"msg":"request"`) })
	if err := os.Rename(name, name+".moved"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	eventually(t, time.Minute, "a line in a new file", func() bool {
		_, _ = s.post(client(1), "x")
		return strings.Contains(read(name), `"msg":"request"`)
	})
	s.stop()
	whole := read(name+".moved") + read(name)
	if whole != s.stdout.String() {
		t.Errorf("the files hold\n%s\nand stdout held\n%s", whole, s.stdout)
	}
}

// Who asks for what no budget bounds cannot fill the log, and each of his requests
// is in it all the same.
func TestLogOfAFlood(t *testing.T) {
	s := start(t)
	start := time.Now()
	const requests = 500
	c := client(1)
	for range requests {
		if status := s.status(c, http.MethodPut, "/", nil); status != http.StatusMethodNotAllowed {
			t.Fatalf("PUT: got %d, want 405", status)
		}
	}
	s.stop()
	expectFewLines(t, s, requests, 405, start)
}

// expectFewLines checks that this many requests of one client since start, all with
// this status, are in the log, most of them in a number.
func expectFewLines(t *testing.T, s *service, requests int, status float64, start time.Time) {
	t.Helper()
	seconds := int(time.Since(start)/time.Second) + 1
	own, counted := 0, 0.0
	for _, line := range records(t, s.stdout.String()) {
		switch {
		case line["msg"] == "request":
			own++
		case line["event"] == "requests" && line["status"] == status && line["client"] == "127.0.0.0/24":
			n, _ := line["count"].(float64)
			counted += n
		}
	}
	if most := floodLines * (1 + seconds); own+int(counted) != requests || own > most {
		t.Errorf("%d lines and %v counted, want %d in all and at most %d lines in %d s", own, counted, requests, most, seconds)
	}
}

// What net/http has to say of its own quotes what a client sent, and names its
// address: only its kind is in the log. Here a client agrees on HTTP/2 and speaks
// HTTP/1.
func TestLogOfNetHTTP(t *testing.T) {
	s := start(t, "--log-client=none", "--log-level=debug")
	const id = "8f14e45f-ceea-467f-a52b-9d1d8c5f3a7e"
	for range 3 {
		conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET /msg/"+id+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
	if conn, err := net.Dial("tcp", s.address); err == nil {
		_, _ = io.WriteString(conn, "\x16\x03\x01") // and no more of a handshake
		_ = conn.Close()
	}
	eventually(t, time.Minute, "what net/http said", func() bool {
		return strings.Contains(s.stdout.String(), `"reason":"http2-preface","count":`) && strings.Contains(s.stdout.String(), `"event":"handshake"`)
	})
	s.stop()
	for _, line := range records(t, s.stdout.String()) {
		if line["event"] == "configuration" || line["event"] == "start" {
			continue
		}
		for _, secret := range []string{id[:8], "/msg", "127.0.0.1"} {
			if text := fmt.Sprint(line); strings.Contains(text, secret) {
				t.Errorf("the line %s holds %q", text, secret)
			}
		}
	}
}

// While the store is full, what a client may then ask for without end does not
// fill the log.
func TestLogOfAFloodWithoutAStore(t *testing.T) {
	s := start(t, "--store=redis://127.0.0.1:1/0")
	c := client(2)
	start := time.Now()
	const requests = 300
	for range requests {
		if status := s.status(c, http.MethodPost, "/", strings.NewReader("x")); status != http.StatusServiceUnavailable {
			t.Fatalf("POST without a store: got %d, want 503", status)
		}
	}
	s.stop()
	expectFewLines(t, s, requests, 503, start)
}

// Clients are named as the operator wants them, and by whom a trusted proxy says
// that they are.
func TestLogClient(t *testing.T) {
	for form, want := range map[string]any{"": "203.0.113.0/24", "prefix": "203.0.113.0/24", "whole": "203.0.113.7", "none": nil} {
		args := []string{"--trusted-proxy=127.0.0.0/8"}
		if form != "" {
			args = append(args, "--log-client="+form)
		}
		s := start(t, args...)
		request, err := http.NewRequest(http.MethodGet, "https://"+s.address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.7")
		answer, err := client(1).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		s.stop()
		lines := slices.DeleteFunc(records(t, s.stdout.String()), func(line map[string]any) bool { return line["msg"] != "request" })
		if len(lines) != 1 || lines[0]["client"] != want {
			t.Errorf("--log-client=%s: got %v, want the client %v", form, lines, want)
		}
	}
}

// The configuration is in the log, and no secret of it.
func TestLogOfTheConfiguration(t *testing.T) {
	for store, want := range map[string]string{
		"redis://user:sekrit@h:6379/0?read_timeout=1s&password=sekrit": "redis://h:6379/0",
		"file:var/messages.db": "file:var/messages.db",
	} {
		o, _, err := parse([]string{"--store=" + store, "--limit-read=7/s:9", "--trusted-proxy=192.0.2.0/24,2001:db8::/32"}, nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).LogAttrs(t.Context(), slog.LevelInfo, "configuration", o.settings...)
		line := records(t, out.String())[0]
		for name, want := range map[string]any{"event": "configuration", "store": want, "limit-read": "7/s:9", "drain": "15s", "log-level": "info", "log-dir": nil, "trusted-proxy": "192.0.2.0/24,2001:db8::/32"} {
			if line[name] != want {
				t.Errorf("%s is %v, want %v", name, line[name], want)
			}
		}
		if strings.Contains(out.String(), "sekrit") {
			t.Errorf("the line %s holds a password", &out)
		}
	}
}
