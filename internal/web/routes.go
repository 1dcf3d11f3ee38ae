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

// The two URLs, as patterns for log lines.
const (
	rootRoute    = "/"
	messageRoute = "/msg/{id}"
	otherRoute   = "other"

	messagePath = "/msg/"
)

// RouteNames are the routes of log lines and metrics: patterns, never a path.
func RouteNames() []string { return []string{rootRoute, messageRoute, plainRoute, otherRoute} }

// Routes returns the handler of the service's two URLs. Every other path is a 404.
// Browsers get the page, unless it is nil. net/http's ServeMux is not used because
// it redirects paths to a cleaned form.
func Routes(messages *message.Box, limits Limits, limiter Limiter, creators Creators, page *Page) Handler {
	s := &routes{messages: messages, limits: limits, limiter: limiter, creators: creators, pages: codedPages(page)}
	s.description, s.tokenDescription = newDescription(limits, false), newDescription(limits, true)
	return s.route
}

type routes struct {
	messages *message.Box
	limits   Limits
	limiter  Limiter
	creators Creators
	pages    []codedPage // nil: there is no page

	description      description
	tokenDescription description // for clients that create with a token only
}

// route is the allow list of paths and methods. A plain message can only be read:
// a POST to it is a 405 once that is known, and so is a DELETE without credentials.
func (s *routes) route(x *Exchange, r *http.Request) error {
	path := r.URL.EscapedPath() // with a percent-encoded slash it is not the path of a link
	id, ofMessage := strings.CutPrefix(path, messagePath)
	id = withoutPunctuation(id)
	switch {
	case ofMessage:
		x.route = messageRoute
	case isRoot(r, path):
		x.route = rootRoute
	default:
		return errNotFound
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case reads && s.wantsPage(x, r):
		return s.sendPage(x, r)
	case ofMessage && reads:
		return s.read(x, r, id)
	case ofMessage && r.Method == http.MethodPost:
		return s.open(x, r, id)
	case ofMessage && r.Method == http.MethodDelete && r.Header.Get("Authorization") != "":
		return s.withdraw(x, r, id)
	case ofMessage:
		return errMessageMethod
	case reads:
		return s.describe(x, r)
	case r.Method == http.MethodPost:
		return s.create(x, r)
	}
	return errRootMethod
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

// describe answers with what the service is and its limits.
func (s *routes) describe(x *Exchange, r *http.Request) error {
	if err := x.accepted(r); err != nil {
		return err
	}
	d := s.description
	if s.creators.wantsToken(x.sender) {
		d = s.tokenDescription
	}
	if x.as == asText {
		x.send(r, http.StatusOK, textType, d.text)
	} else {
		x.send(r, http.StatusOK, jsonType, d.json)
	}
	return nil
}

// A description is what the service is and its limits, as JSON and as text.
type description struct{ json, text []byte }

// newDescription describes the service to clients that create with a token only, or to
// the others.
func newDescription(l Limits, token bool) (d description) {
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

		CreateToken: token,
	})
	if err != nil {
		panic(err) // only a type that JSON does not have
	}
	d.json = append(asJSON, '\n')
	d.text = fmt.Appendf(nil, "messaging_api: post a message to /, pass on the link that you get; everybody who has the link can read it.\n"+
		"A request's body has at most %d bytes. A message lives %d seconds unless ttl says otherwise, at most %d.\n"+
		"A message that is stored counts as its text and %d bytes in the budget \"bytes\".\n", l.MaxBytes, ttl, ttlMax, MessageOverhead)
	if token {
		d.text = append(d.text, "Creating a message needs a token: Authorization: Bearer TOKEN.\n"...)
	}
	return d
}

// base is the beginning of the service's URLs: --public-url, or the host that this
// client used. It is always https: without TLS of our own a proxy terminates it.
func (x *Exchange) base() string {
	if x.publicURL != "" {
		return x.publicURL
	}
	return httpsURL(x.host, x.port)
}
