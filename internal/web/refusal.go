package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"messaging_api/internal/message"
)

// A refusal is an error with what the client may know of it. All errors of handlers
// become one.
type refusal struct {
	status int
	detail string // for the client: names the input and the rule
	header header // one more field, if it has a name
	cause  error  // for the log: never shown to the client
	json   []byte // the body; nil: made from status and detail
	html   []byte // the body for a person who asked for the page, or nil
}

func (e refusal) Error() string { return e.detail }

// constant returns a refusal with its body made once.
func constant(status int, detail string) refusal {
	return refusal{status: status, detail: detail, json: problem(status, detail)}
}

// forPeople returns the refusal with what a person sees instead of the page.
func (e refusal) forPeople(text string) refusal {
	e.html = []byte("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n" +
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>" + http.StatusText(e.status) + "</title>\n<main>\n<h1>" + http.StatusText(e.status) + "</h1>\n<p>" + text + "</p>\n</main>\n")
	return e
}

// with returns the refusal with one more field.
func (e refusal) with(name, value string) refusal {
	e.header = header{name, []string{value}}
	return e
}

func badRequest(format string, args ...any) error {
	return refusal{status: http.StatusBadRequest, detail: fmt.Sprintf(format, args...)}
}

// errNotFound is the only 404: malformed, unknown, expired and foreign ids get the
// same answer.
var errNotFound = constant(http.StatusNotFound, "There is nothing here. A link works until its message expires.")

// errInternal is the only 500.
var errInternal = constant(http.StatusInternalServerError, "Something went wrong on our side; it has been logged.")

// The refusals of methods that are not in the allow list.
var (
	errRootMethod    = notAllowed("GET, HEAD, POST")
	errMessageMethod = notAllowed("GET, HEAD")
)

func notAllowed(methods string) refusal {
	return constant(http.StatusMethodNotAllowed, "The method is not one of "+methods+".").with("Allow", methods)
}

// storeRetry is the Retry-After where the store does not answer, in seconds: about
// as long as a restart takes.
const storeRetry = "5"

// refusals is the only place that maps errors to statuses.
var refusals = []struct {
	err    error
	answer refusal
	logged bool // the error is a fault of ours
}{
	{message.ErrNotFound, errNotFound, false},
	{message.ErrTampered, errNotFound, true},
	{message.ErrPlain, errMessageMethod, false},
	{message.ErrProof, constant(http.StatusForbidden, "The proof is missing or wrong. Nothing was used up."), false},
	{message.ErrToken, constant(http.StatusForbidden, "The token is neither the message's owner_token nor a live claim."), false},
	{message.ErrNewer, constant(http.StatusServiceUnavailable,
		"A newer version of the service stored the message, and this one cannot judge it. Try again.").with("Retry-After", storeRetry), true},
	{message.ErrFull, constant(http.StatusInsufficientStorage, "The store is full. Nothing was stored; messages that expire will make room."), true},
	{message.ErrUnavailable, constant(http.StatusServiceUnavailable,
		"The store does not answer. Nothing is known of the message; try again.").with("Retry-After", storeRetry), true},
}

// refusalOf returns the refusal that an error becomes.
func refusalOf(err error) refusal {
	if e, ok := errors.AsType[refusal](err); ok {
		return e
	}
	if e, ok := errors.AsType[*message.GoneError](err); ok {
		return gone(e)
	}
	for _, row := range refusals {
		if errors.Is(err, row.err) {
			if row.logged {
				row.answer.cause = err
			}
			return row.answer
		}
	}
	e := errInternal
	e.cause = err
	return e
}

// withHint adds a command that stores a file as it is to a refusal: what curl -F,
// curl -T and wget --post-file send is none of our types or methods.
func (x *Exchange) withHint(r *http.Request, err error) refusal {
	command := "curl --data-binary @FILE -H 'Content-Type: text/plain' "
	if strings.HasPrefix(r.UserAgent(), "Wget/") {
		command = "wget -qO- --header='Content-Type: text/plain' --post-file=FILE "
	}
	e := refusalOf(err)
	e.detail, e.json = e.detail+" To send a file as it is: "+command+x.base()+"/", nil
	return e
}

// refuse answers with err, as problem+json or as text, as the client prefers, and as
// HTML where a person asked for the page.
func (x *Exchange) refuse(r *http.Request, err error) {
	e := refusalOf(err)
	if r.Method == http.MethodPut && (e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed) {
		e = x.withHint(r, e) // curl -T, which appends the file's name to the path
	}
	x.cause = e.cause
	x.prepareDrain(r, e.status)
	if e.header.name != "" {
		x.w.Header()[e.header.name] = e.header.value
	}
	switch as := x.negotiated(r); {
	case as == asText:
		x.send(r, e.status, textType, []byte(e.detail+"\n"))
		return
	case as == asPage && e.html != nil:
		x.send(r, e.status, htmlType, e.html)
		return
	}
	if e.json == nil {
		e.json = problem(e.status, e.detail)
	}
	x.send(r, e.status, problemType, e.json)
}
