package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits are the bounds of what a client may create.
type Limits struct {
	MaxBytes int64         // of a request's body
	TTL      time.Duration // of a message that names none; whole seconds
	TTLMax   time.Duration // whole seconds
}

// A creation is what a client asks for with POST.
type creation struct {
	text []byte
	ttl  time.Duration
}

// The media types that POST takes, in the words of Accept-Post.
const (
	mediaJSON = "application/json"
	mediaText = "text/plain"
	mediaForm = "application/x-www-form-urlencoded"
)

// readCreation reads and judges the request to create a message. Every error
// is a refusal that names the input and the rule.
func (l Limits) readCreation(x *Exchange, r *http.Request) (creation, error) {
	media, err := mediaType(r.Header)
	if err != nil {
		return creation{}, err
	}
	query := r.URL.RawQuery
	if query != "" && media != mediaText {
		return creation{}, badRequest("A query is only taken with text/plain; put the members into the body.")
	}
	body, err := l.readBody(x, r)
	if err != nil {
		return creation{}, err
	}
	if !utf8.Valid(body) {
		return creation{}, badRequest("The body is not UTF-8.")
	}
	var c creation
	var ttl string
	switch media {
	case mediaText:
		c.text = body
		ttl, err = parseQuery(query)
	case mediaForm:
		c.text, ttl, err = parseForm(string(body))
	default:
		c.text, ttl, err = parseJSON(body)
	}
	if err != nil {
		return creation{}, err
	}
	if len(c.text) == 0 {
		return creation{}, badRequest(`The message is missing or empty.`)
	}
	c.ttl, err = l.parseTTL(ttl)
	return c, err
}

func badRequest(format string, args ...any) error {
	return refusal{status: http.StatusBadRequest, detail: fmt.Sprintf(format, args...)}
}

// mediaType returns which of the three types the body is of; without a
// Content-Type it is JSON. Only UTF-8 and no content coding are taken.
func mediaType(h http.Header) (string, error) {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "", refusal{
			status: http.StatusUnsupportedMediaType,
			detail: "The body has a Content-Encoding; send it as it is.",
			header: header{"Accept-Encoding", []string{"identity"}}, // RFC 9110, section 12.5.3
		}
	}
	fields := h["Content-Type"]
	switch {
	case len(fields) == 0:
		return mediaJSON, nil
	case len(fields) == 1 && (fields[0] == mediaJSON || fields[0] == mediaText || fields[0] == mediaForm):
		return fields[0], nil // as most clients write it, without a parser's allocations
	}
	unsupported := refusal{
		status: http.StatusUnsupportedMediaType,
		detail: "The Content-Type is not one of " + mediaJSON + ", " + mediaText + " and " + mediaForm + ", in UTF-8.",
		header: header{"Accept-Post", []string{mediaJSON + ", " + mediaText + ", " + mediaForm}},
	}
	media, params, err := mime.ParseMediaType(fields[0])
	if len(fields) > 1 || err != nil || (media != mediaJSON && media != mediaText && media != mediaForm) {
		return "", unsupported
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		return "", unsupported
	}
	return media, nil
}

// readBody reads at most MaxBytes. Memory grows with what has come, not with
// what was announced.
func (l Limits) readBody(x *Exchange, r *http.Request) ([]byte, error) {
	tooLarge := refusal{
		status: http.StatusRequestEntityTooLarge,
		detail: fmt.Sprintf("The body is over %d bytes.", l.MaxBytes),
	}
	if r.ContentLength > l.MaxBytes {
		return nil, tooLarge
	}
	const firstRead = 8 << 10
	size := int64(firstRead)
	if r.ContentLength >= 0 {
		size = min(r.ContentLength, size)
	}
	buffer := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err := buffer.ReadFrom(http.MaxBytesReader(x.w, r.Body, l.MaxBytes))
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return buffer.Bytes(), nil
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refusal{status: http.StatusRequestTimeout, detail: "The body did not come in time."}
	default:
		return nil, badRequest("The body ended early or is malformed.")
	}
}

// parseTTL reads a lifetime in whole seconds; "" is the default.
func (l Limits) parseTTL(s string) (time.Duration, error) {
	if s == "" {
		return l.TTL, nil
	}
	longest := int64(l.TTLMax / time.Second)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > longest || s[0] == '+' {
		return 0, badRequest(`"ttl" is %s; it must be a whole number of seconds from 1 to %d.`, quote(s), longest)
	}
	return time.Duration(n) * time.Second, nil
}

// parseQuery returns ttl from a query that may hold nothing else.
func parseQuery(query string) (ttl string, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", badRequest("The query is malformed.")
	}
	if err := onlyOnce(values, "query parameter", "ttl"); err != nil {
		return "", err
	}
	return given(values, "ttl")
}

// parseForm reads message and ttl.
func parseForm(body string) (text []byte, ttl string, err error) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, "", badRequest("The form is malformed: it must be message=…&ttl=…, percent-encoded.")
	}
	if err := onlyOnce(values, "form field", "message", "ttl"); err != nil {
		return nil, "", err
	}
	message := values.Get("message")
	if !utf8.ValidString(message) {
		return nil, "", badRequest(`The form field "message" is not UTF-8.`)
	}
	ttl, err = given(values, "ttl")
	return []byte(message), ttl, err
}

// onlyOnce refuses names other than the known ones, so that a misspelt ttl does
// not become the default, and repeated ones, of which either might be meant.
func onlyOnce(values url.Values, kind string, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return badRequest("The %s %s is not known; known are: %s.", kind, quote(name), strings.Join(known, ", "))
		}
		if len(values[name]) > 1 {
			return badRequest("The %s %s is given more than once.", kind, quote(name))
		}
	}
	return nil
}

// given returns the named value; one that is there must not be empty.
func given(values url.Values, name string) (string, error) {
	if values.Has(name) && values.Get(name) == "" {
		return "", badRequest("%s is empty.", quote(name))
	}
	return values.Get(name), nil
}

// parseJSON reads {"message": "…", "ttl": 3600}. The decoder refuses repeated
// names, broken escapes and what follows the object.
func parseJSON(body []byte) (text []byte, ttl string, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	switch kind := d.PeekKind(); {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, "", badRequest(`The body is empty; send {"message": "…"}.`)
	case kind == jsontext.KindInvalid:
		return nil, "", invalidJSON(d)
	case kind != jsontext.KindBeginObject:
		return nil, "", badRequest(`The body is not a JSON object; send {"message": "…"}, or the bare text with Content-Type: text/plain.`)
	}
	for {
		token, err := d.ReadToken()
		if err != nil {
			return nil, "", jsonError(err)
		}
		switch token.Kind() {
		case jsontext.KindBeginObject:
			continue // the outermost one; members never hold another
		case jsontext.KindEndObject:
			return text, ttl, atEnd(d)
		}
		switch name := token.String(); name {
		case "message":
			text, err = stringMember(d)
		case "ttl":
			ttl, err = numberMember(d)
		default:
			return nil, "", badRequest(`The member %s is not known; known are: message, ttl.`, quote(name))
		}
		if err != nil {
			return nil, "", err
		}
	}
}

func stringMember(d *jsontext.Decoder) ([]byte, error) {
	kind := d.PeekKind()
	if kind != jsontext.KindString && kind != jsontext.KindInvalid {
		return nil, badRequest(`"message" must be a string.`)
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, jsonError(err)
	}
	return []byte(token.String()), nil
}

// numberMember returns a number as it is written: 3600.0 and 1e3 are for
// parseTTL to refuse.
func numberMember(d *jsontext.Decoder) (string, error) {
	kind := d.PeekKind()
	if kind != jsontext.KindNumber && kind != jsontext.KindInvalid {
		return "", badRequest(`"ttl" must be a number.`)
	}
	value, err := d.ReadValue()
	if err != nil {
		return "", jsonError(err)
	}
	return string(value), nil
}

// atEnd refuses whatever follows the object.
func atEnd(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return badRequest("Something follows the JSON object.")
	}
	return nil
}

// invalidJSON returns the error that PeekKind found.
func invalidJSON(d *jsontext.Decoder) error {
	_, err := d.ReadToken()
	return jsonError(err)
}

// jsonError says where and why the body is not JSON.
func jsonError(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return badRequest("The member %s is given more than once.", quote(syntax.JSONPointer.LastToken()))
	case errors.As(err, &syntax):
		return badRequest("The body is not valid JSON, after %d bytes: %s.", syntax.ByteOffset, syntax.Err.Error())
	default:
		return badRequest("The body is not valid JSON: it ends early.")
	}
}

// quote shows a client its own input, cut to what a person needs to find it.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return strconv.Quote(s)
}
