package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"messaging_api/internal/api"
	"messaging_api/internal/message"
)

// The two URLs, as patterns for log lines, and their methods.
const (
	rootRoute    = "/"
	messageRoute = "/msg/{id}"
	otherRoute   = "other"

	messagePath = "/msg/"

	rootMethods    = "GET, HEAD, POST"
	messageMethods = "GET, HEAD"
)

// Routes returns the handler of the service's two URLs. Every other path is a 404.
// Browsers get the page, unless it is nil. net/http's ServeMux is not used because
// it redirects paths to a cleaned form.
func Routes(messages *message.Box, limits Limits, limiter Limiter, page *Page) Handler {
	s := &routes{messages: messages, limits: limits, limiter: limiter, page: newPageAnswer(page)}
	s.json, s.text = describe(limits)
	return s.route
}

type routes struct {
	messages   *message.Box
	limits     Limits
	limiter    Limiter
	page       *pageAnswer // nil: there is none
	json, text []byte      // the description of the service
}

// route finds the handler for a path and a method. An unknown path is a 404
// whatever the method.
func (s *routes) route(x *Exchange, r *http.Request) error {
	path := sentPath(r) // with a percent-encoded slash it is not the path of a link
	if id, found := strings.CutPrefix(path, messagePath); found {
		x.route = messageRoute
		return s.routeMessage(x, r, withoutPunctuation(id))
	}
	if !isRoot(r, path) {
		if r.Method == http.MethodPut { // curl -T appends the file's name to the path
			return x.withHint(r, errNotFound)
		}
		return errNotFound
	}
	x.route = rootRoute
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if s.wantsPage(x, r) {
			return s.sendPage(x, r)
		}
		return s.describe(x, r)
	case http.MethodPost:
		return s.create(x, r)
	default:
		return x.wrongMethod(r, errRootMethod)
	}
}

// routeMessage finds the handler for a method. A plain message can only be read:
// a POST to it is a 405 once that is known, and so is a DELETE without credentials.
func (s *routes) routeMessage(x *Exchange, r *http.Request, id string) error {
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		if s.wantsPage(x, r) {
			return s.sendPage(x, r)
		}
		return s.read(x, r, id)
	case r.Method == http.MethodPost:
		return s.open(x, r, id)
	case r.Method == http.MethodDelete && r.Header.Get("Authorization") != "":
		return s.withdraw(x, r, id)
	}
	return x.wrongMethod(r, errMessageMethod)
}

// sentPath returns the path as it was sent. It cuts one that is longer than any
// link's, before anything looks at it.
func sentPath(r *http.Request) string {
	const longest = 256
	if len(r.URL.Path) > longest {
		return r.URL.Path[:longest]
	}
	return r.URL.EscapedPath()
}

// withoutPunctuation returns the id without a trailing run of punctuation,
// percent-encoded or not: chat programs take it as a part of the link.
func withoutPunctuation(id string) string {
	const idLength, most = 36, 64
	if len(id) <= idLength || len(id) > idLength+most {
		return id
	}
	rest, err := url.PathUnescape(id[idLength:])
	if err != nil || strings.Trim(rest, " .,)>]}\"';:!?/") != "" {
		return id
	}
	return id[:idLength]
}

// isRoot reports whether a request is for the service itself: the path "/", which an
// absolute target may leave out, or the targets of CONNECT and "OPTIONS *", which
// have no path (RFC 9112, section 3.2).
func isRoot(r *http.Request, path string) bool {
	return path == "/" || path == "" && r.URL.Opaque == "" || path == "*" && r.Method == http.MethodOptions
}

// wrongMethod returns a 405, with a hint for curl -T.
func (x *Exchange) wrongMethod(r *http.Request, e refusal) error {
	if r.Method == http.MethodPut {
		return x.withHint(r, e)
	}
	return e
}

// create stores a message and answers with its link.
func (s *routes) create(x *Exchange, r *http.Request) error {
	stored, err := s.store(x, r)
	x.load.release(x, requestCost) // the body is not needed any more
	if err != nil {
		return err
	}
	id := stored.ID.Reveal()
	link := x.link(id)
	x.w.Header()["Location"] = []string{link}
	if x.as == asText {
		x.send(r, http.StatusOK, textType, []byte(link+"\n"))
	} else {
		x.send(r, http.StatusOK, jsonType, created(id, link, stored.Owner.Reveal(), stored.Expires))
	}
	return nil
}

// store takes a message through the client's budgets to the store.
func (s *routes) store(x *Exchange, r *http.Request) (stored message.Created, err error) {
	answer := x.w.Header()
	// The budgets are judged before the body is read, as far as its length is known:
	// a refusal has to cost less than the request.
	if denial := s.limiter.Create(x.client, s.limits.announced(r)+MessageOverhead, answer); denial != nil {
		return stored, x.tooMany(denial)
	}
	x.charged = true
	if err := x.accepted(r); err != nil {
		return stored, err
	}
	draft, err := s.limits.readCreation(x, r)
	if err != nil {
		return stored, err
	}
	size := len(draft.Text) + MessageOverhead
	if denial := s.limiter.Fits(x.client, size, answer); denial != nil {
		return stored, x.tooMany(denial)
	}
	err = x.load.withSlot(x, r, func() (err error) {
		stored, err = s.messages.Create(storeContext(), draft, time.Now())
		return err
	})
	if err != nil {
		x.charged = false // an outage must not flood the log
		return stored, err
	}
	s.limiter.Stored(x.client, size, answer)
	return stored, nil
}

// storeContext is the context of store calls, which have their own deadline. They
// ignore the client's cancellation: a client that hangs up has to pay for a message
// that is stored, and one that closes only its own side still gets its answer.
func storeContext() context.Context { return context.Background() }

// read answers with a message, or with the state of a limited one.
func (s *routes) read(x *Exchange, r *http.Request, id string) error {
	if err := s.charge(x); err != nil {
		return err
	}
	if err := x.accepted(r); err != nil {
		return err
	}
	m, err := s.ask(x, r, func() (message.Message, error) {
		return s.messages.Read(storeContext(), id, time.Now())
	})
	if err != nil {
		return err
	}
	if m.Limited {
		return s.sendState(x, r, m)
	}
	return s.sendMessage(x, r, m)
}

// sendMessage answers with a text.
func (s *routes) sendMessage(x *Exchange, r *http.Request, m message.Message) error {
	size := len(m.Text)
	if x.as == asJSON {
		size = messageSize(m)
	}
	if size > smallAnswer && !x.load.reserve(x, size) {
		return x.tooBusy()
	}
	if size > largeAnswer {
		x.load.setWait(x, forReader)
	}
	s.limiter.Sent(x.client, size, x.w.Header())
	if x.as == asText {
		x.send(r, http.StatusOK, textType, m.Text)
		return nil
	}
	const digits = 6 // that AppendFormat writes and then cuts off
	x.send(r, http.StatusOK, jsonType, appendMessage(make([]byte, 0, size+digits), m))
	return nil
}

// charge takes a read from the client's budget.
func (s *routes) charge(x *Exchange) error {
	if denial := s.limiter.Read(x.client, x.w.Header()); denial != nil {
		return x.tooMany(denial)
	}
	x.charged = true
	return nil
}

// misses are the errors of a client that guesses.
var misses = []error{message.ErrNotFound, message.ErrTampered, message.ErrProof, message.ErrToken}

// ask asks the store, in a slot. A miss is charged after the answer is known. When
// that budget is spent, requests are refused before the store is asked, which stops
// guessing.
func (s *routes) ask(x *Exchange, r *http.Request, f func() (message.Message, error)) (m message.Message, err error) {
	err = x.load.withSlot(x, r, func() (err error) {
		m, err = f()
		return err
	})
	if slices.ContainsFunc(misses, func(miss error) bool { return errors.Is(err, miss) }) {
		s.limiter.Missed(x.client, x.w.Header())
	}
	x.charged = err == nil || refusalOf(err).status < http.StatusInternalServerError // an outage must not flood the log
	return m, err
}

// describe answers with what the service is and its limits.
func (s *routes) describe(x *Exchange, r *http.Request) error {
	if err := x.accepted(r); err != nil {
		return err
	}
	if x.as == asText {
		x.send(r, http.StatusOK, textType, s.text)
	} else {
		x.send(r, http.StatusOK, jsonType, s.json)
	}
	return nil
}

// describe returns the description as JSON and as text.
func describe(l Limits) (asJSON, asText []byte) {
	ttl, ttlMax := int64(l.TTL/time.Second), int64(l.TTLMax/time.Second)
	asJSON, err := json.Marshal(api.Description{
		Status: http.StatusOK, Service: "messaging_api",
		Create: api.Create{
			Method: http.MethodPost, Path: rootRoute,
			ContentTypes: []string{mediaJSON, mediaText, mediaForm}, Members: members,
		},
		Read:     api.Read{Method: http.MethodGet, Path: messageRoute},
		Open:     api.Read{Method: http.MethodPost, Path: messageRoute},
		Withdraw: api.Read{Method: http.MethodDelete, Path: messageRoute},
		Limits:   api.Limits{MaxBytes: l.MaxBytes, MessageOverhead: MessageOverhead, ReadsMax: message.MaxReads, TTLDefault: ttl, TTLMax: ttlMax},
	})
	if err != nil {
		panic(err) // only a type that JSON does not have
	}
	asText = fmt.Appendf(nil, "messaging_api: post a message to /, pass on the link that you get; everybody who has the link can read it.\n"+
		"A request's body has at most %d bytes. A message lives %d seconds unless ttl says otherwise, at most %d.\n"+
		"A message that is stored counts as its text and %d bytes in the budget \"bytes\".\n", l.MaxBytes, ttl, ttlMax, MessageOverhead)
	return append(asJSON, '\n'), asText
}

// link is the URL of a message.
func (x *Exchange) link(id string) string { return x.base() + messagePath + id }

// base is the beginning of the service's URLs: --public-url, or the host that this
// client used. It is always https: without TLS of our own a proxy terminates it.
func (x *Exchange) base() string {
	switch {
	case x.publicURL != "":
		return x.publicURL
	case strings.Contains(x.host, ":"):
		return "https://[" + x.host + "]" + x.port
	}
	return "https://" + x.host + x.port
}
