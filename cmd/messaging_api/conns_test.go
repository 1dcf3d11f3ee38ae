package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// silent opens n connections from the address that say nothing.
func (s *service) silent(n int, address string) (opened []net.Conn) {
	s.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	for range n {
		conn, err := dialer.DialContext(s.t.Context(), "tcp", s.address)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = conn.Close() })
		opened = append(opened, conn)
	}
	return opened
}

// full waits until all slots for connections are taken.
func (s *service) full(conns int) {
	s.t.Helper()
	eventually(s.t, time.Minute, fmt.Sprintf("%d connections are open", conns), func() bool {
		return s.scrape()["connections_open"] == float64(conns)
	})
}

// newcomer makes requests from an address, each on a new connection.
func (s *service) newcomer(address string, requests int) error {
	for i := range requests {
		c := from(address, 1+i%2)
		_, err := s.post(c, "x")
		c.CloseIdleConnections()
		if err != nil {
			return fmt.Errorf("request %d from %s: %w", i, address, err)
		}
	}
	return nil
}

// Two clients that say nothing hold all connections. A third one is served at
// once, and so is one that kept its connection from before.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	s := start(t, "--conns=20", "--conns-per-client=18")
	kept := from("127.0.7.9", 1)
	defer kept.CloseIdleConnections()
	if _, err := s.post(kept, "x"); err != nil {
		t.Fatal(err)
	}
	s.silent(17, "127.0.7.1")
	s.silent(2, "127.0.7.2")
	s.full(20)
	if err := s.newcomer("127.0.7.3", 5); err != nil {
		t.Error(err)
	}
	reused := false
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	}), http.MethodGet, "https://"+s.address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := kept.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if !reused {
		t.Error("a connection with requests made room before those without")
	}
}

// Connections on which too little comes, many from each address, lock nobody out.
func TestSlowConnectionsLockNobodyOut(t *testing.T) {
	const (
		begun    = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
		settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"          // an empty frame
		headers  = "\x00\x00\x01\x01\x00\x00\x00\x00\x01" + "\x83" // a frame with one field, without END_HEADERS
	)
	for name, attack := range map[string]struct {
		protocol string // empty: no TLS handshake
		text     string
		atOnce   bool // whether newcomers are served at once
	}{
		"nothing":              {"", "", true},
		"half a hello":         {"", "\x16\x03\x01\x02\x00", true},
		"no request":           {"http/1.1", "", true},
		"half a header":        {"http/1.1", begun, true},
		"half a second header": {"http/1.1", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + begun, true},
		"half a body":          {"http/1.1", begun + "Content-Length: 10\r\n\r\nhalf", false},
		"no stream":            {"h2", http2.ClientPreface + settings, true},
		"half a stream header": {"h2", http2.ClientPreface + settings + headers, true},
	} {
		t.Run(name, func(t *testing.T) {
			const addresses, each = 2, 12
			s := start(t, fmt.Sprint("--conns=", addresses*each), fmt.Sprint("--conns-per-client=", each))
			for i := range addresses {
				for _, conn := range s.silent(each, fmt.Sprint("127.0.7.", 1+i)) {
					if attack.protocol != "" {
						secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{attack.protocol}})
						if err := secured.HandshakeContext(t.Context()); err != nil {
							t.Fatal(err)
						}
						conn = secured
					}
					if _, err := io.WriteString(conn, attack.text); err != nil {
						t.Fatal(err)
					}
				}
			}
			if attack.atOnce {
				if err := s.newcomer("127.0.6.1", 5); err != nil {
					t.Error(err)
				}
			} else {
				eventually(t, time.Minute, "newcomers are served", func() bool { return s.newcomer("127.0.6.1", 5) == nil })
			}
			if s.scrape()[`connections_refused_total{limit="displaced"}`] == 0 {
				t.Error("no connection was displaced: the slots were not all taken")
			}
		})
	}
}
