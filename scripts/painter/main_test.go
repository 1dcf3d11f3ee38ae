package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestHelpIsNoError(t *testing.T) {
	if err := run(t.Context(), []string{"--help"}, t.Output()); err != nil {
		t.Errorf("--help: got %v, want no error", err)
	}
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"":                                  "want the URL of a service",
		"--nonsense https://a:1/":           "-nonsense",
		"--scrape 1ms https://127.0.0.1:1/": "--scrape 1ms",
		"--time 1h https://127.0.0.1:1/":    "--time 1h",
		"http://127.0.0.1:1/":               "http://127.0.0.1:1/: must be https",
		"https://127.0.0.1:1/ https://127.0.0.1/":        "https://127.0.0.1/: must be https",
		"https://127.0.0.1:1/ ://":                       "missing protocol scheme",
		"--dashboard there/is/none https://127.0.0.1:1/": "there/is/none",
	} {
		if err := run(t.Context(), strings.Fields(args), t.Output()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", args, err, want)
		}
	}
}

// A visitor that waited for a silent service for ever would keep the load from ending.
func TestPlainHTTPEndsThoughNothingAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		speakPlainHTTP(ctx, newVisitor(&url.URL{Host: silent.Addr().String()}, net.IPv4(127, 0, 0, 1), new(links), false))
		close(done)
	}()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(patience / 2):
		t.Error("a cancelled visitor still waits for an answer")
	}
}
