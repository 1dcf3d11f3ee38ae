package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
