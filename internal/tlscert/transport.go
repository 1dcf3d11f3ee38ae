package tlscert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// A transport is the way to the CA for one order. It closes when ctx is done, for
// autocert takes no context, and it remembers why the CA found a challenge or the
// order invalid, which autocert does not tell.
type transport struct {
	base http.RoundTripper
	ctx  context.Context

	mu  sync.Mutex // guards err
	err error
}

// failure returns what the CA last found invalid, or nil.
func (t *transport) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

const (
	maxAnswer   = 1 << 20 // bytes: more than any answer of ACME, certificate chains included
	maxPollWait = 5       // seconds between two looks at an order
)

// RoundTrip makes the request and reads the whole answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)() //nolint:contextcheck // autocert passes no context of ours
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	answer := *resp
	answer.Body = io.NopCloser(bytes.NewReader(body))
	answer.Header = resp.Header.Clone()
	// autocert waits as long as the CA asks to, and a stop would wait too.
	wait := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(wait); wait != "" && resp.StatusCode < 400 && (err != nil || seconds > maxPollWait) {
		answer.Header.Set("Retry-After", strconv.Itoa(maxPollWait))
	}
	if err := invalid(body); err != nil {
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
	}
	return &answer, nil
}

// problem is why the CA finds something invalid (RFC 7807; RFC 8555, section 6.7).
type problem struct{ Type, Detail string }

func (p problem) String() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:")+": "+p.Detail, ": ")
}

// invalid returns why an authorization or an order is invalid (RFC 8555, sections
// 7.1.4 and 7.1.3). It is nil if body describes neither.
func invalid(body []byte) error {
	var answer struct {
		Status     string
		Error      *problem
		Challenges []struct {
			Type  string
			Error *problem
		}
	}
	if json.Unmarshal(body, &answer) != nil || answer.Status != "invalid" {
		return nil //nolint:nilerr // a certificate chain, for one
	}
	for _, c := range answer.Challenges {
		if c.Error != nil {
			return fmt.Errorf("%s failed: %s", c.Type, c.Error)
		}
	}
	if answer.Error != nil {
		return fmt.Errorf("the CA refuses the order: %s", answer.Error)
	}
	return nil
}
