package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"messaging_api/internal/api"
)

// maxAnswer bounds what is read of an answer, in bytes: more than the largest
// text that msg sends, with all that JSON may escape.
const maxAnswer = 512 << 20

// maxRetryAfter bounds what is believed of a Retry-After, in seconds.
const maxRetryAfter = 1e6

// A client asks one service.
type client struct {
	http *http.Client
	root string        // URL of the service, ends in "/"
	wait time.Duration // in all, for a service that is busy
	warn func(format string, args ...any)
}

// newClient returns a client of the service at root.
func (o *options) newClient(root string, std stdio) (*client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if err := o.trust(config); err != nil {
		return nil, failure{exitUsage, err}
	}
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	transport.TLSClientConfig = config
	return &client{
		http: &http.Client{
			Transport: transport,
			Timeout:   o.Timeout,
			// A redirect would show the id to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		root: root,
		wait: o.Wait,
		warn: std.warn,
	}, nil
}

// trust decides which certificates count: those that the system, --ca or --pin
// vouches for.
func (o *options) trust(config *tls.Config) error {
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return fmt.Errorf("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca: %s holds no PEM certificate", o.CA)
		}
	}
	if o.Pin == "" {
		return nil
	}
	want, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(o.Pin, "sha256//"))
	if err != nil || len(want) != sha256.Size {
		return errors.New("--pin must look like sha256//BASE64, as the service prints it at its start")
	}
	config.InsecureSkipVerify = true // VerifyConnection verifies instead
	config.VerifyConnection = func(state tls.ConnectionState) error {
		got := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
		if !bytes.Equal(got[:], want) {
			return errors.New("the server's public key is not the one of --pin")
		}
		return nil
	}
	return nil
}

// An answer is what the service says.
type answer struct {
	host       string
	status     int
	retryAfter time.Duration
	body       []byte
	problem    api.Problem // of an answer that is not a success
}

// call makes a request, and makes it again for as long as the service asks to
// wait and --wait allows it. Repeating is safe: nobody can read a creation whose
// answer is lost, and an opening has its claim.
func (c *client) call(ctx context.Context, method, path string, body any, token string) (answer, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = encodeJSON(body); err != nil {
			return answer{}, err
		}
	}
	end := time.Now().Add(c.wait)
	for {
		a, err := c.try(ctx, method, path, content, token)
		if err != nil {
			return answer{}, err
		}
		busy := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
		if !busy || time.Now().Add(a.retryAfter).After(end) {
			return a, nil
		}
		c.warn("the service asks to wait %v (%s)", a.retryAfter, a.problem.Title)
		select {
		case <-time.After(a.retryAfter):
		case <-ctx.Done():
			return answer{}, context.Cause(ctx)
		}
	}
}

// try makes one request.
func (c *client) try(ctx context.Context, method, path string, content []byte, token string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.root+path, bytes.NewReader(content))
	if err != nil {
		return answer{}, failf(exitUsage, "%s is not the address of a service", c.root)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "msg/"+version())
	if content != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, unreachable(ctx, r.URL.Host, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer{}, unreachable(ctx, r.URL.Host, err)
	}
	if len(text) > maxAnswer {
		return answer{}, fmt.Errorf("the answer of %s is over %d bytes", r.URL.Host, maxAnswer)
	}
	a := answer{host: r.URL.Host, status: response.StatusCode, body: text}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // 0 without it
	a.retryAfter = time.Duration(min(max(seconds, 1), maxRetryAfter)) * time.Second
	if a.status >= http.StatusBadRequest && json.Unmarshal(text, &a.problem) != nil {
		a.problem = api.Problem{Title: http.StatusText(a.status)} // a proxy's own answer
	}
	a.problem.Title, a.problem.Detail = printable(a.problem.Title), printable(a.problem.Detail)
	return a, nil
}

// printable is what a terminal can show of a text of the server's.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
}

// unreachable says that there was no answer. It leaves out the path, which holds
// the message's id.
func unreachable(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // the user's interruption
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) {
		return failf(exitUnreachable, "%s: %w (a self-signed server needs --pin or --ca)", host, err)
	}
	return failf(exitUnreachable, "%s cannot be reached: %w", host, err)
}

// decode reads the body of a success. Everything else is an error.
func (a answer) decode(v any) error {
	if a.status != http.StatusOK {
		return a.refused()
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return a.foreign()
	}
	return nil
}

// foreign says that the answer is one of another program.
func (a answer) foreign() error {
	return fmt.Errorf("%s does not answer like a messaging_api service", a.host)
}

// refused says what an answer that is not a success means.
func (a answer) refused() error {
	p := a.problem
	switch a.status {
	case http.StatusForbidden:
		return failf(exitDamaged, "the passphrase or the key in the link is wrong; nothing was used up")
	case http.StatusNotFound:
		return failf(exitGone, "there is no message: it was deleted, its time is over, or the link is wrong")
	case http.StatusGone:
		switch {
		case p.TakenDownAt != nil:
			return failf(exitOpened, "the operator removed the message on %s", local(*p.TakenDownAt))
		case p.WithdrawnAt != nil:
			return failf(exitOpened, "the sender took the message back on %s", local(*p.WithdrawnAt))
		}
		return failf(exitOpened, "the message was opened on %s, and is deleted", locals(p.Opened))
	case http.StatusTooManyRequests:
		return failf(exitLimited, "too many requests: try again in %v", a.retryAfter)
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return failf(exitUnreachable, "the service is busy: try again in %v", a.retryAfter)
	case http.StatusRequestEntityTooLarge, http.StatusInsufficientStorage:
		return failf(exitLimited, "%s: %s", p.Title, p.Detail)
	}
	return fmt.Errorf("%s answers %d %s: %s", a.host, a.status, p.Title, p.Detail)
}

// local is a time for people.
func local(t time.Time) string { return t.Local().Format("2 January 2006 15:04:05 MST") }

func locals(times []time.Time) string {
	texts := make([]string, len(times))
	for i, t := range times {
		texts[i] = local(t)
	}
	return strings.Join(texts, ", ")
}

// encodeJSON returns v as one line. It leaves < and > as they are: escaped they
// would make a long text too long for the service.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
