package web

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// parseJSON reads {"message": "…", "ttl": 3600} and so on. Unlike encoding/json,
// this library refuses repeated names, names in other capitals, invalid UTF-8 and
// lone surrogates, which would change what is stored. Numbers stay as they are
// written, so that 3600.0 and 1e3 are refused later.
func parseJSON(body []byte) (c creation, err error) {
	var in struct {
		Message   jsontext.Value `json:"message"`
		TTL       jsontext.Value `json:"ttl"`
		Reads     jsontext.Value `json:"reads"`
		ProofHash jsontext.Value `json:"proof_hash"`
	}
	if err := unmarshal(body, &in, `send {"message": "…"}, or the bare text with Content-Type: text/plain`, members...); err != nil {
		return c, err
	}
	switch {
	case in.Message != nil && in.Message.Kind() != jsontext.KindString:
		return c, badRequest(`"message" must be a string.`)
	case in.TTL != nil && in.TTL.Kind() != jsontext.KindNumber:
		return c, badRequest(`"ttl" must be a number.`)
	case in.Reads != nil && in.Reads.Kind() != jsontext.KindNumber:
		return c, badRequest(`"reads" must be a number.`)
	}
	if c.proofHash, err = nonEmptyString("proof_hash", in.ProofHash); err != nil {
		return c, err
	}
	c.ttl, c.reads = string(in.TTL), string(in.Reads)
	if in.Message != nil {
		c.text, err = jsontext.AppendUnquote(nil, in.Message)
	}
	return c, err
}

// fetchedJSON reports whether a body of text/plain is a creation in JSON that lacks
// its type. JavaScript's fetch sends a string with exactly this Content-Type where a
// program sets none, and the JSON itself would be stored.
func fetchedJSON(h http.Header, body []byte) bool {
	const ofFetch = "text/plain;charset=UTF-8"
	if h.Get("Content-Type") != ofFetch || !bytes.HasPrefix(body, []byte("{")) {
		return false
	}
	c, err := parseJSON(body)
	return err == nil && len(c.text) > 0
}

var errFetchedJSON = badRequest("The body is JSON, sent as text: set Content-Type: application/json. To store this JSON as a text, set Content-Type: text/plain, without a charset.")

// nonEmptyString returns a member that must be a string, "" if it is absent.
func nonEmptyString(name string, v jsontext.Value) (string, error) {
	if v == nil {
		return "", nil
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil || len(text) == 0 {
		return "", badRequest("%q must be a string that is not empty.", name)
	}
	return string(text), nil
}

// unmarshal reads an object of the known members into in. Its error says what is
// wrong and where, or what to do instead.
func unmarshal(body []byte, in any, instead string, known ...string) error {
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // a byte order mark (RFC 8259, section 8.1)
	err := json.Unmarshal(body, in, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	switch {
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return badRequest("The member %s is given more than once.", quote(syntax.JSONPointer.LastToken()))
	case errors.As(err, &syntax):
		return badRequest("The body is not valid JSON, after %d bytes: %v.", syntax.ByteOffset, syntax.Err)
	case errors.As(err, &meaning) && errors.Is(err, json.ErrUnknownName):
		return badRequest("The member %s is not known; known are: %s.", quote(meaning.JSONPointer.LastToken()), strings.Join(known, ", "))
	default:
		return badRequest("The body is not a JSON object; %s.", instead)
	}
}

// parseFields reads name=value&… as forms and queries are encoded (URL Standard,
// section 5.1, where a semicolon separates nothing). It refuses unknown names, or a
// misspelled ttl would become the default, repeated names and empty values.
func parseFields(s, kind string, known []string) (c creation, err error) {
	if strings.Count(s, "&") >= 16 { // a body of separators would cost many times its size
		return c, badRequest("There are too many of a %s; known are: %s.", kind, strings.Join(known, ", "))
	}
	values, err := url.ParseQuery(strings.ReplaceAll(s, ";", "%3B"))
	if err != nil {
		return c, badRequest("A %s is malformed: names and values must be percent-encoded.", kind)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name):
			return c, badRequest("The %s %s is not known; known are: %s.", kind, quote(name), strings.Join(known, ", "))
		case len(values[name]) > 1:
			return c, badRequest("The %s %q is given more than once.", kind, name)
		case values[name][0] == "":
			return c, badRequest("The %s %q is empty.", kind, name)
		}
	}
	return creation{[]byte(values.Get("message")), values.Get("ttl"), values.Get("reads"), values.Get("proof_hash")}, nil
}
