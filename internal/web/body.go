package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"messaging_api/internal/message"
)

// Limits are the bounds of what a client may create.
type Limits struct {
	MaxBytes int64         // of a request's body
	TTL      time.Duration // of a message that names none; whole seconds
	TTLMax   time.Duration // whole seconds
	Grace    time.Duration // before a body must come at the least rate; 0: only the server's deadlines hold
}

// members are those of a creation, in the words of the API.
var members = []string{"message", "ttl", "reads", "proof_hash"}

// A creation is what a client asks for with POST, as it is written; "" where a
// member is absent.
type creation struct {
	text                  []byte
	ttl, reads, proofHash string
}

// The media types that POST takes, in the words of Accept-Post.
const (
	mediaJSON = "application/json"
	mediaText = "text/plain"
	mediaForm = "application/x-www-form-urlencoded"
)

// readCreation reads and judges the request to create a message. Every error
// is a refusal that names the input and the rule.
func (l Limits) readCreation(x *Exchange, r *http.Request) (message.Draft, error) {
	media, err := mediaType(r.Header)
	if err != nil {
		if e, ok := errors.AsType[refusal](err); ok {
			e.detail += x.hint(r)
			err = e
		}
		return message.Draft{}, err
	}
	query := r.URL.RawQuery
	if query != "" && media != mediaText {
		return message.Draft{}, badRequest("A query is only taken with text/plain; put the members into the body.")
	}
	body, err := l.readBody(x, r)
	if err != nil {
		return message.Draft{}, err
	}
	if !utf8.Valid(body) {
		return message.Draft{}, badRequest("The body is not UTF-8.")
	}
	var c creation
	switch media {
	case mediaText:
		if fetchedJSON(r.Header, body) {
			return message.Draft{}, errFetchedJSON
		}
		c, err = parseQuery(query)
		c.text = body
	case mediaForm:
		c, err = parseForm(string(body))
		if e, ok := errors.AsType[refusal](err); ok && !bytes.Contains(body, []byte("message=")) {
			e.detail += x.hint(r) // a text was sent where a form was announced
			err = e
		}
	default:
		c, err = parseJSON(body)
	}
	if err != nil {
		return message.Draft{}, err
	}
	return l.judge(c)
}

// judge holds a creation to the rules of its members.
func (l Limits) judge(c creation) (d message.Draft, err error) {
	if len(c.text) == 0 {
		return d, badRequest(`The message is missing or empty.`)
	}
	d.Text = c.text
	if d.TTL, err = l.parseTTL(c.ttl); err != nil {
		return d, err
	}
	if c.reads != "" {
		d.Reads, err = strconv.Atoi(c.reads)
		if err != nil || d.Reads < 1 || d.Reads > message.MaxReads || c.reads[0] == '+' {
			return d, badRequest(`"reads" is %s; it must be a whole number from 1 to %d.`, quote(c.reads), message.MaxReads)
		}
	}
	if c.proofHash != "" {
		if d.Reads == 0 {
			return d, badRequest(`"proof_hash" is only taken with "reads".`)
		}
		hash, err := parseProof("proof_hash", c.proofHash)
		if err != nil {
			return d, err
		}
		d.ProofHash = (*message.Hash)(hash)
	}
	return d, nil
}

func badRequest(format string, args ...any) error {
	return refusal{status: http.StatusBadRequest, detail: fmt.Sprintf(format, args...)}
}

// mediaType returns which of the three types the body is of; without a
// Content-Type it is JSON. Only UTF-8 and no content coding are taken.
func mediaType(h http.Header) (string, error) {
	for _, coding := range h["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return "", refusal{
				status: http.StatusUnsupportedMediaType,
				detail: "The body has a Content-Encoding; send it as it is.",
				header: header{"Accept-Encoding", []string{"identity"}}, // RFC 9110, section 12.5.3
			}
		}
	}
	fields := h["Content-Type"]
	const longestType = 256 // bounds what the parser makes of parameters
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
	if len(fields) > 1 || len(fields[0]) > longestType {
		return "", unsupported
	}
	media, params, err := mime.ParseMediaType(fields[0])
	if err != nil || (media != mediaJSON && media != mediaText && media != mediaForm) {
		return "", unsupported
	}
	switch charset, named := params["charset"]; {
	case !named:
	case strings.EqualFold(charset, "utf-8"), strings.EqualFold(charset, "utf8"), strings.EqualFold(charset, "us-ascii"):
	default:
		return "", unsupported
	}
	return media, nil
}

// announced returns how long the body says that it is, at most MaxBytes; 0 if it
// does not say.
func (l Limits) announced(r *http.Request) int {
	return int(min(max(r.ContentLength, 0), l.MaxBytes))
}

// readBody reads at most MaxBytes.
func (l Limits) readBody(x *Exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength > l.MaxBytes {
		return nil, l.tooLarge()
	}
	x.reading = true
	x.body = pacedBody{ReadCloser: r.Body, x: x, start: time.Now(), grace: l.Grace}
	x.load.setWait(x, forBody)
	body, err := l.readAll(x, r.ContentLength)
	x.load.setWait(x, forNothing)
	switch {
	case x.cut.Load():
		if err := x.load.enter(x); err != nil {
			return nil, err
		}
		return nil, x.tooBusy()
	case err == nil:
		return body, nil
	case errors.Is(err, errTooLarge):
		return nil, l.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refusal{status: http.StatusRequestTimeout, detail: "The body did not come in time."}
	case errors.Is(err, errNoRoom):
		return nil, x.tooBusy()
	default:
		return nil, badRequest("The body ended early or is malformed.")
	}
}

// Why a body is not read on.
var (
	errNoRoom   = errors.New("no room for the body")
	errTooLarge = errors.New("the body is too large")
)

// readAll reads the body. A negative length is not known. The buffer grows with
// what has come, not with what was announced; each growth is reserved first.
func (l Limits) readAll(x *Exchange, length int64) ([]byte, error) {
	most := l.MaxBytes + 1 // one byte more than the body, to read its end
	if length >= 0 {
		most = length + 1
	}
	const first = 4 << 10 // is counted with the request
	b := make([]byte, 0, min(most, first))
	for {
		if len(b) == cap(b) {
			grown := 2 * int64(cap(b))
			if int64(cap(b)) < most {
				grown = min(grown, most)
			}
			if !x.load.reserve(x, int(grown)-cap(b)) {
				return nil, errNoRoom
			}
			b = append(make([]byte, 0, grown), b...)
		}
		n, err := x.body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > l.MaxBytes:
			return nil, errTooLarge
		case err == io.EOF: //nolint:errorlint // as io.Reader returns it
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

func (l Limits) tooLarge() error {
	return refusal{
		status: http.StatusRequestEntityTooLarge,
		detail: fmt.Sprintf("The body is over %d bytes.", l.MaxBytes),
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

// quote shows a client its own input, cut to what a person needs to find it.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return strconv.Quote(s)
}
