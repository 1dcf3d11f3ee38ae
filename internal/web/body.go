package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
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
		return message.Draft{}, x.withHint(r, err)
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
		if err != nil && !bytes.Contains(body, []byte("message=")) {
			err = x.withHint(r, err) // a text was sent where a form was announced
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

var (
	errCoding = constant(http.StatusUnsupportedMediaType, "The body has a Content-Encoding; send it as it is.").
			with("Accept-Encoding", "identity") // RFC 9110, section 12.5.3
	errMedia = constant(http.StatusUnsupportedMediaType, "The Content-Type is not one of "+mediaJSON+", "+mediaText+" and "+mediaForm+", in UTF-8.").
			with("Accept-Post", mediaJSON+", "+mediaText+", "+mediaForm)
)

// mediaType returns which of the three types the body is of; without a
// Content-Type it is JSON. Only UTF-8 and no content coding are taken.
func mediaType(h http.Header) (string, error) {
	for _, coding := range h["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return "", errCoding
		}
	}
	fields := h["Content-Type"]
	if len(fields) == 0 {
		return mediaJSON, nil
	}
	media := fields[0]
	switch {
	case len(fields) > 1 || len(media) > 256: // bounds the work of the parser
		return "", errMedia
	case media == mediaJSON || media == mediaText || media == mediaForm: // without a parser's allocations
		return media, nil
	}
	media, params, err := mime.ParseMediaType(media)
	if err != nil || media != mediaJSON && media != mediaText && media != mediaForm {
		return "", errMedia
	}
	charset, named := params["charset"]
	if named && !slices.Contains([]string{"utf-8", "utf8", "us-ascii"}, strings.ToLower(charset)) {
		return "", errMedia
	}
	return media, nil
}

// announced returns the length that the body's header says, at most MaxBytes; 0 if
// it says none.
func (l Limits) announced(r *http.Request) int {
	return int(min(max(r.ContentLength, 0), l.MaxBytes))
}

// readBody reads at most MaxBytes. Every error is a refusal.
func (l Limits) readBody(x *Exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength > l.MaxBytes {
		return nil, l.tooLarge()
	}
	x.reading = true
	x.load.setWait(x, forBody)
	body, err := l.readAll(x, r)
	x.load.setWait(x, forNothing)
	switch {
	case x.cut.Load():
		if err := x.load.enter(x); err != nil {
			return nil, err
		}
		return nil, x.tooBusy()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refusal{status: http.StatusRequestTimeout, detail: "The body did not come in time."}
	}
	return body, err
}

// readAll reads the body. The buffer grows with what has come, not with what was
// announced; each growth is reserved first.
func (l Limits) readAll(x *Exchange, r *http.Request) ([]byte, error) {
	size := l.MaxBytes
	if r.ContentLength >= 0 {
		size = r.ContentLength
	}
	b := make([]byte, 0, min(size+1, 4<<10)) // counted with the request; one byte more reads the end
	for {
		if len(b) == cap(b) {
			grown := int(min(2*int64(cap(b)), size+1))
			if !x.load.reserve(x, grown-cap(b)) {
				return nil, x.tooBusy()
			}
			b = append(make([]byte, 0, grown), b...)
		}
		l.paceBody(x, len(b))
		if x.cut.Load() { // after the deadlines, which replace that of the cut
			return nil, os.ErrDeadlineExceeded
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > size:
			return nil, l.tooLarge()
		case err == io.EOF:
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err
		case err != nil:
			return nil, badRequest("The body ended early or is malformed.")
		}
	}
}

// paceRate is how fast, in bytes a second, a body or an answer has to move on
// average after a grace. An absolute deadline would cut large transfers on slow
// lines, or let a trickle hold a connection for minutes.
const paceRate = 1 << 10

// paced returns the deadline for the byte after the first n.
func paced(start time.Time, grace time.Duration, n int) time.Time {
	return start.Add(grace + time.Duration(n)*time.Second/paceRate)
}

// paceBody sets the deadline for the next byte of a body after n have come. It also
// moves the deadline for the answer, which would pass while a large body comes.
func (l Limits) paceBody(x *Exchange, n int) {
	if l.Grace == 0 {
		return
	}
	control := http.NewResponseController(x.w)
	until := paced(x.start, l.Grace, n)
	_ = control.SetReadDeadline(until)
	if n > smallAnswer {
		_ = control.SetWriteDeadline(until.Add(answerGrace))
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
