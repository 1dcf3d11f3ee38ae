package web

import (
	"bytes"
	"mime"
	"net/http"
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
	var c creation
	switch media {
	case mediaText:
		if fetchedJSON(r.Header, body) {
			return message.Draft{}, errFetchedJSON
		}
		c, err = parseFields(query, "query parameter", members[1:])
		c.text = body
	case mediaForm:
		c, err = parseFields(string(body), "form field", members)
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
	if !utf8.Valid(c.text) {
		return d, badRequest("The message is not UTF-8.")
	}
	d.Text, d.TTL = c.text, l.TTL
	if c.ttl != "" {
		seconds, err := wholeNumber("ttl", " of seconds", c.ttl, int(l.TTLMax/time.Second))
		if err != nil {
			return d, err
		}
		d.TTL = time.Duration(seconds) * time.Second
	}
	if c.reads != "" {
		if d.Reads, err = wholeNumber("reads", "", c.reads, message.MaxReads); err != nil {
			return d, err
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

// wholeNumber reads a number from 1 to most.
func wholeNumber(name, unit, s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most || s[0] == '+' {
		return 0, badRequest("%q is %s; it must be a whole number%s from 1 to %d.", name, quote(s), unit, most)
	}
	return n, nil
}

// quote shows a client the start of its own input.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return strconv.Quote(s)
}
