package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// own are requests that nginx or ModSecurity answers, as bytes, and the status.
var own = map[string]int{
	"GET /?x=<script> HTTP/1.1\r\nHost: localhost\r\n\r\n":                                     403,
	"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sqlmap/1.7\r\nConnection: close\r\n\r\n": 403,
	"HEAD /.git/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":               403,
	"GET /inspected HTTP/1.1\r\nHost: localhost\r\n\r\n":                                       404,
	"GET /problem HTTP/1.1\r\nHost: localhost\r\n\r\n":                                         404,
	"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                              405,
	"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n":                                400,
	"nonsense\r\n\r\n": 400,
	"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                           400,
	"GET /../.. HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                         400,
	"GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n":                                               400,
	"GET / HTTP/1.1\r\n\r\n":                                                                                 400,
	"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
	"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n":                                     501,
	"GET /?x=" + strings.Repeat("${", 300) + " HTTP/1.1\r\nHost: localhost\r\n\r\n":                          414,
	"GET /?" + strings.Repeat("a&", 20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n":                             414,
	"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("{{", 600) + "\r\n\r\n":                 431,
	"GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n":                             414,
	"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 9000) + "\r\n\r\n":                 431,
	"GET / HTTP/3.7\r\nHost: localhost\r\n\r\n":                                                              505,
}

// answers compares the headers of the firewall's own answers with the service's.
func answers(ctx context.Context, c *client, plain string, stdout io.Writer) error {
	service, err := c.send(ctx, c.h1, request{http.MethodGet, "/", nil, ""})
	if err != nil {
		return err
	}
	want := securityHeaders(service)
	if len(want) < 10 || service.status != http.StatusOK || want.Get("Server") != "" {
		return fmt.Errorf("the service answers %d with the headers %v", service.status, service.header)
	}
	for text, status := range own {
		a, err := c.sendRaw(ctx, text)
		if err != nil {
			return err
		}
		if err := judge(a, status, want); err != nil {
			return fmt.Errorf("%.60q: %w", text, err)
		}
	}
	// Plain HTTP on the port of TLS, and an attack on the port of plain HTTP.
	for address, status := range map[string]int{c.address: 400, plain: 403} {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		a, err := exchange(conn, "GET /?x=<script> HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err != nil {
			return err
		}
		if err := judge(a, status, want); err != nil {
			return fmt.Errorf("plain HTTP on %s: %w", address, err)
		}
	}
	_, _ = fmt.Fprintf(stdout, "%d answers of the firewall carry the service's %d headers\n", len(own)+2, len(want))
	return nil
}

// securityHeaders are an answer's fields without those of this one answer.
func securityHeaders(a answer) http.Header {
	h := a.header.Clone()
	for _, name := range []string{"Content-Type", "Content-Length", "Date", "Connection", "Retry-After", "X-Request-Id", "Vary"} {
		h.Del(name)
	}
	return h
}

// judge compares one answer: status, headers once each, a fresh id, a problem body.
func judge(a answer, status int, want http.Header) error {
	if a.status != status {
		return fmt.Errorf("got %d %s, want %d", a.status, a.body, status)
	}
	if got := securityHeaders(a); !maps.EqualFunc(got, want, slices.Equal) {
		return fmt.Errorf("%d has the headers %v, want %v", status, got, want)
	}
	if len(a.header["X-Request-Id"]) != 1 || len(a.header.Get("X-Request-Id")) != 36 {
		return fmt.Errorf("%d has X-Request-Id %q", status, a.header["X-Request-Id"])
	}
	if wait := a.header.Get("Retry-After"); (wait != "") != (status == 429 || status == 502 || status == 503 || status == 504) {
		return fmt.Errorf("%d has Retry-After %q", status, wait)
	}
	var problem struct {
		Title  string
		Status int
		Detail string
	}
	if a.body == "" && a.header.Get("Content-Length") != "0" { // HEAD
		return nil
	}
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		return fmt.Errorf("%d is %s: %q", status, a.header.Get("Content-Type"), a.body)
	}
	if problem.Status != status || problem.Title != http.StatusText(status) || problem.Detail == "" {
		return fmt.Errorf("%d has the body %s", status, a.body)
	}
	return nil
}
