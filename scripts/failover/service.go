package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
)

// A service is a running messaging_api.
type service struct {
	process *process
	url     string
	ops     string
}

// startService runs messaging_api over TLS, on free ports, without limits.
func (l *lab) startService(name, store string, replicas int, flags ...string) (*service, error) {
	dir := filepath.Join(l.dir, "service-"+name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(servicePassword), 0o600); err != nil {
		return nil, err
	}
	args := []string{
		"--listen", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0", "--store", store, "--redis-password-file", password,
		"--limit-create", "off", "--limit-read", "off", "--limit-miss", "off", "--limit-bytes", "off", "--limit-read-bytes", "off",
		"--handshakes-per-client", "100000/s:100000", "--conns-per-client", "0", "--drain", "1s",
	}
	if replicas > 0 {
		args = append(args, "--redis-replicas", fmt.Sprint(replicas))
	}
	output := filepath.Join(dir, "output")
	process, err := l.launch(output, l.binary, append(args, flags...)...)
	if err != nil {
		return nil, err
	}
	s := &service{process: process}
	err = l.await("the service listens", func() bool {
		text, _ := os.ReadFile(output)
		for line := range bytes.Lines(text) {
			var start struct {
				Event   string `json:"event"`
				Address string `json:"address"`
				Ops     string `json:"ops_address"`
			}
			if json.Unmarshal(line, &start) == nil && start.Event == "start" {
				s.url, s.ops = "https://"+start.Address, "http://"+start.Ops
				return true
			}
		}
		return false
	})
	if err != nil {
		text, _ := os.ReadFile(output)
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return s, l.await("the service is ready", func() bool { return s.ready(l) })
}

// ready asks the service whether it can serve.
func (s *service) ready(l *lab) bool {
	request, err := http.NewRequestWithContext(l.ctx, http.MethodGet, s.ops+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// limit is the metric of the bytes that the store may use; 0 if there is none.
func (s *service) limit(l *lab) float64 {
	request, err := http.NewRequestWithContext(l.ctx, http.MethodGet, s.ops+"/metrics", nil)
	if err != nil {
		return 0
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	text, _ := io.ReadAll(answer.Body)
	var value float64
	for line := range bytes.Lines(text) {
		if _, err := fmt.Sscanf(string(line), "messaging_api_store_limit_bytes %g", &value); err == nil {
			return value
		}
	}
	return 0
}

// stop ends the service.
func (s *service) stop() {
	s.process.signal(syscall.SIGTERM)
	<-s.process.exited
}
