package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"messaging_api/internal/message"
)

// A refusal is an error with what the client may know of it. All errors of handlers
// become one.
type refusal struct {
	status int
	detail string // for the client: names the input and the rule
	header header // one more field, if it has a name
	cause  error  // for the log: never shown to the client
	json   []byte // the body, if it was made at start
}

// constant returns a refusal that is always the same, with its body made at start.
func constant(status int, detail string) refusal {
	return refusal{status: status, detail: detail, json: problem(status, detail)}
}

func (e refusal) Error() string { return e.detail }

// errNotFound is the only 404: malformed, unknown, expired and foreign ids get the
// same answer.
var errNotFound = constant(http.StatusNotFound, "There is nothing here. A link works until its message expires.")

// Refusals of limited messages. Neither uses anything up.
var (
	errProof = constant(http.StatusForbidden, "The proof is missing or wrong. Nothing was used up.")
	errToken = constant(http.StatusForbidden, "The token is neither the message's owner_token nor a live claim.")
)

// ourFault is the one 500.
const ourFault = "Something went wrong on our side; it has been logged."

// refusalOf maps every error to a refusal. It is the only place that maps errors to
// statuses.
func refusalOf(err error) refusal {
	e, ok := errors.AsType[refusal](err)
	if ok {
		return e
	}
	if e, ok := errors.AsType[*message.GoneError](err); ok {
		return gone(e)
	}
	switch {
	case errors.Is(err, message.ErrNotFound):
		return errNotFound
	case errors.Is(err, message.ErrTampered):
		e = errNotFound
		e.cause = err
		return e
	case errors.Is(err, message.ErrPlain):
		return refusal{
			status: http.StatusMethodNotAllowed,
			detail: "The method is not one of " + messageMethods + ".",
			header: header{"Allow", []string{messageMethods}},
		}
	case errors.Is(err, message.ErrProof):
		return errProof
	case errors.Is(err, message.ErrToken):
		return errToken
	case errors.Is(err, message.ErrNewer):
		return refusal{
			status: http.StatusServiceUnavailable, cause: err,
			detail: "A newer version of the service stored the message, and this one cannot judge it. Try again.",
			header: retryAfter(storeRetry),
		}
	case errors.Is(err, message.ErrFull):
		return refusal{
			status: http.StatusInsufficientStorage, cause: err,
			detail: "The store is full. Nothing was stored; messages that expire will make room.",
		}
	case errors.Is(err, message.ErrUnavailable):
		return refusal{
			status: http.StatusServiceUnavailable, cause: err,
			detail: "The store does not answer. Nothing is known of the message; try again.",
			header: retryAfter(storeRetry),
		}
	default:
		return refusal{
			status: http.StatusInternalServerError, cause: err,
			detail: ourFault,
		}
	}
}

// storeRetry is the Retry-After, in seconds, where the store does not answer: about
// as long as a restart takes.
const storeRetry = 5

func retryAfter(seconds int64) header {
	return header{"Retry-After", []string{strconv.FormatInt(seconds, 10)}}
}

// refuse answers with err, as problem+json (RFC 9457) or as text, as the client
// prefers.
func (x *Exchange) refuse(r *http.Request, err error) {
	e := refusalOf(err)
	x.cause = e.cause
	x.prepareDrain(r, e.status)
	if e.header.name != "" {
		x.w.Header()[e.header.name] = e.header.value
	}
	if x.negotiated(r) == asText {
		x.send(r, e.status, textType, []byte(e.detail+"\n"))
		return
	}
	if e.json == nil {
		e.json = problem(e.status, e.detail)
	}
	x.send(r, e.status, problemType, e.json)
}

// problem returns the body of a refusal. Its type is about:blank, because the status
// says all that a program needs (RFC 9457, section 4.2.1). The detail is for people.
func problem(status int, detail string) []byte {
	b := make([]byte, 0, 96+len(detail))
	b = append(b, `{"type":"about:blank","title":`...)
	b = appendString(b, http.StatusText(status))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"detail":`...)
	b = appendString(b, detail)
	return append(b, "}\n"...)
}

// appendString appends s as a JSON string; what is not UTF-8 in it becomes the
// replacement character.
func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// quotedSize returns the size of what appendString appends for UTF-8.
func quotedSize(s []byte) int {
	size := len(s) + len(`""`)
	for _, c := range s {
		size += int(escapeSize[c])
	}
	return size
}

// escapeSize is by how much a byte grows in JSON.
var escapeSize = func() (grows [256]uint8) {
	for c := range byte(0x20) {
		grows[c] = uint8(len(`\u0000`) - 1)
	}
	for _, c := range []byte("\"\\\b\f\n\r\t") {
		grows[c] = uint8(len(`\n`) - 1)
	}
	return grows
}()
