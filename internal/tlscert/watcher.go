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
	"time"
)

// watcher is an http.RoundTripper to the CA that remembers what last went wrong.
// autocert keeps most of that to itself: of a failed validation it says that no
// challenge is left to try, and of a failed renewal nothing at all.
type watcher struct {
	base http.RoundTripper
	open context.Context // when it is done, so is every request

	mu  sync.Mutex // guards the rest
	at  time.Time
	err error
}

// failure returns what last went wrong, and when; nil for nothing.
func (w *watcher) failure() (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at, w.err
}

func (w *watcher) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.err = time.Now(), err
}

// maxAnswer is more than any answer of ACME needs, certificate chains included.
const maxAnswer = 1 << 20

// RoundTrip makes the request and reads the whole answer, so that when it
// returns all is over that open could cut off.
func (w *watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	if w.open.Err() != nil {
		cancel() // AfterFunc would come to it a little late
	}
	defer context.AfterFunc(w.open, cancel)() //nolint:contextcheck // autocert passes no context of ours
	resp, err := w.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		w.note(err)
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		w.note(err)
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	shortenWait(resp, time.Now())
	if err := refusal(resp.StatusCode, body); err != nil {
		w.note(err)
	}
	return resp, nil
}

// maxWait is the longest pause between two looks at an order.
const maxWait = 5 * time.Second

// shortenWait lowers what an answer asks to wait until an order has moved on:
// autocert waits deaf to everything else, so that a stop would wait as well.
// It is a number of seconds or a date (RFC 9110, section 10.2.3).
func shortenWait(resp *http.Response, now time.Time) {
	const header = "Retry-After"
	asked := resp.Header.Get(header)
	if asked == "" || resp.StatusCode >= http.StatusBadRequest {
		return
	}
	wait := maxWait + 1
	if seconds, err := strconv.Atoi(asked); err == nil && seconds <= int(maxWait/time.Second) {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(asked); err == nil {
		wait = date.Sub(now)
	}
	if wait > maxWait {
		resp.Header.Set(header, strconv.Itoa(int(maxWait/time.Second)))
	}
}

// problem is why the CA refuses something (RFC 7807; RFC 8555, section 6.7).
type problem struct {
	Type   string
	Detail string
}

func (p problem) String() string {
	if p.Type == "" {
		return p.Detail
	}
	return strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:") + ": " + p.Detail
}

// validationError says how a challenge failed.
type validationError struct {
	challenge string
	problem   problem
}

func (e *validationError) Error() string { return e.challenge + " failed: " + e.problem.String() }

// refusal returns what the CA refuses with an answer: a request, or an
// authorization because a challenge failed (RFC 8555, section 7.1.4), or an
// order (section 7.1.3); nil for none. A stale nonce is none: that is how the
// protocol hands out a fresh one.
func refusal(status int, body []byte) error {
	var answer struct {
		problem
		Error      *problem
		Challenges []struct {
			Type  string
			Error *problem
		}
	}
	err := json.Unmarshal(body, &answer) // fails on a certificate chain, for one
	switch {
	case status >= http.StatusBadRequest && strings.HasSuffix(answer.Type, ":badNonce"):
		return nil
	case status >= http.StatusBadRequest && answer.Detail != "":
		return fmt.Errorf("the CA refuses: %s", answer.problem)
	case status >= http.StatusBadRequest:
		return fmt.Errorf("the CA answers with status %d", status)
	case err != nil:
		return nil //nolint:nilerr // it is no refusal
	}
	for _, c := range answer.Challenges {
		if c.Error != nil {
			return &validationError{c.Type, *c.Error}
		}
	}
	if answer.Error != nil {
		return fmt.Errorf("the CA refuses the order: %s", *answer.Error)
	}
	return nil
}
