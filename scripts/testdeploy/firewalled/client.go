package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A client sends requests to the firewall, as to https://localhost.
type client struct {
	address string // HOST:PORT that localhost stands for
	tls     *tls.Config
	h1, h2  *http.Client
}

func newClient(address string, roots *x509.CertPool) *client {
	c := &client{
		address: address,
		tls:     &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12},
	}
	c.h1 = c.over(false)
	c.h2 = c.over(true)
	return c
}

// over returns a client of HTTP/2 or HTTP/1.1.
func (c *client) over(h2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: c.tls.Clone(),
			Protocols:       protocols,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, c.address)
			},
		},
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A request to send. Its target goes into the request line as it is.
type request struct {
	method, target string
	header         [][2]string
	body           string
}

// An answer, read to its end.
type answer struct {
	proto  string
	status int
	header http.Header
	body   string
}

// send sends a request over one of the client's protocols. Where the firewall, not the
// service, says that it comes too soon, send waits and tries again.
func (c *client) send(ctx context.Context, over *http.Client, q request) (answer, error) {
	for {
		a, err := c.sendOnce(ctx, over, q)
		if err != nil || !tooSoon(a) {
			return a, err
		}
		if err := wait(ctx); err != nil {
			return a, err
		}
	}
}

// tooSoon reports whether the firewall itself refuses, because its client asks too much.
func tooSoon(a answer) bool {
	return a.status == http.StatusTooManyRequests && a.header.Get("RateLimit") == ""
}

// wait waits for the firewall's Retry-After.
func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
		return nil
	}
}

func (c *client) sendOnce(ctx context.Context, over *http.Client, q request) (answer, error) {
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, "https://localhost/", body)
	if err != nil {
		return answer{}, err
	}
	r.URL = &url.URL{Scheme: "https", Host: "localhost", Opaque: q.target}
	r.Header.Set("User-Agent", "") // none, unless q has one
	for _, h := range q.header {
		r.Header.Set(h[0], h[1])
	}
	response, err := over.Do(r)
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

func read(response *http.Response) (answer, error) {
	defer response.Body.Close() //nolint:errcheck // the body's own errors come while reading
	text, err := io.ReadAll(response.Body)
	return answer{response.Proto, response.StatusCode, response.Header, string(text)}, err
}

// sendRaw sends bytes over a connection of their own and reads one answer.
func (c *client) sendRaw(ctx context.Context, text string) (answer, error) {
	config := c.tls.Clone()
	config.NextProtos = []string{"http/1.1"}
	dialer := tls.Dialer{Config: config}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", c.address)
		if err != nil {
			return answer{}, err
		}
		a, err := exchange(conn, text)
		if err != nil || !tooSoon(a) {
			return a, err
		}
		if err := wait(ctx); err != nil {
			return a, err
		}
	}
}

// exchange sends bytes over conn, reads one answer and closes conn.
func exchange(conn net.Conn, text string) (answer, error) {
	defer conn.Close() //nolint:errcheck // the answer has been read
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return answer{}, err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return answer{}, err
	}
	method, _, _ := strings.Cut(text, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return answer{}, fmt.Errorf("no answer to %.60q: %w", text, err)
	}
	return read(response)
}
