package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"messaging_api/internal/message"
)

// What happened to limited messages, for an [Observer].
const (
	EventOpened    = "opened"    // a reader got the text
	EventRepeated  = "repeated"  // a claim got its answer again
	EventEnded     = "ended"     // a reader ended a claim
	EventWithdrawn = "withdrawn" // a sender took a message back
	EventProof     = "proof"     // an opening without the proof that it needs
	EventToken     = "token"     // neither an owner token nor a live claim
)

// MessageEvents are all of them.
func MessageEvents() []string {
	return []string{EventOpened, EventRepeated, EventEnded, EventWithdrawn, EventProof, EventToken}
}

// openingBytes is how large the body of an opening may be.
const openingBytes = 4 << 10

// open opens a limited message: it uses up a read, so it is a POST, which no
// program that only looks at links sends.
func (s *routes) open(x *Exchange, r *http.Request, id string) error {
	if err := s.charge(x); err != nil {
		return err
	}
	opening := s.readOpening(x, r)
	m, err := s.ask(x, r, func() (message.Message, error) {
		return s.messages.Open(storeContext(), id, opening, time.Now())
	})
	switch {
	case errors.Is(err, message.ErrProof):
		x.message = EventProof
	case err == nil && m.Repeat:
		x.message = EventRepeated
	case err == nil:
		x.message = EventOpened
	}
	if err != nil {
		return err
	}
	return s.sendMessage(x, r, m)
}

// readOpening reads what a reader shows. What is wrong with it is a part of it: a
// POST to a plain message is a 405, whatever it asks for.
func (s *routes) readOpening(x *Exchange, r *http.Request) message.Opening {
	_, err := x.accepted(r)
	if err != nil {
		return message.Opening{Malformed: err}
	}
	o, err := s.parseOpening(x, r)
	o.Malformed = err
	return o
}

// parseOpening reads {"proof": "…", "claim": "…"}, both optional, or nothing.
func (s *routes) parseOpening(x *Exchange, r *http.Request) (o message.Opening, err error) {
	media, err := mediaType(r.Header)
	if err == nil && media != mediaJSON && r.ContentLength != 0 {
		err = refusal{
			status: http.StatusUnsupportedMediaType,
			detail: "The Content-Type of an opening is " + mediaJSON + ".",
			header: header{"Accept-Post", []string{mediaJSON}},
		}
	}
	if err != nil {
		return o, err
	}
	limits := Limits{MaxBytes: openingBytes, Grace: s.limits.Grace}
	body, err := limits.readBody(x, r)
	if err != nil || len(body) == 0 {
		return o, err
	}
	proof, claim, err := openingMembers(body)
	if err != nil {
		return o, err
	}
	if proof != "" {
		if o.Proof, err = parseProof("proof", proof); err != nil {
			return o, err
		}
	}
	if claim != "" && !validClaim(claim) {
		return o, badRequest(`"claim" must be 16 to 64 characters of A-Z, a-z, 0-9, - and _.`)
	}
	o.Claim = claim
	return o, nil
}

// openingMembers returns the members of an opening, "" where one is absent.
func openingMembers(body []byte) (proof, claim string, err error) {
	var in struct {
		Proof jsontext.Value `json:"proof"`
		Claim jsontext.Value `json:"claim"`
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // RFC 8259, section 8.1
	if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil {
		return "", "", jsonError(err, "proof, claim", `send {"claim": "…"}`)
	}
	if proof, err = nonEmptyString("proof", in.Proof); err != nil {
		return "", "", err
	}
	claim, err = nonEmptyString("claim", in.Claim)
	return proof, claim, err
}

// nonEmptyString returns a member that must be a string, "" if it is absent.
func nonEmptyString(name string, v jsontext.Value) (string, error) {
	if v == nil {
		return "", nil
	}
	text := ""
	if v.Kind() == jsontext.KindString {
		unquoted, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return "", err
		}
		text = string(unquoted)
	}
	if text == "" {
		return "", badRequest("%q must be a string that is not empty.", name)
	}
	return text, nil
}

// parseProof reads the 32 bytes of a proof or of its hash.
func parseProof(name, text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != sha256.Size || strings.ContainsAny(text, "\r\n") {
		return nil, badRequest("%q must be 32 bytes as base64url: 43 characters, without padding, the last one without spare bits.", name)
	}
	return b, nil
}

func validClaim(claim string) bool {
	if len(claim) < 16 || len(claim) > 64 {
		return false
	}
	for _, c := range []byte(claim) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// withdraw takes a message back for its sender, or ends a claim of a reader.
func (s *routes) withdraw(x *Exchange, r *http.Request, id string) error {
	if err := s.charge(x); err != nil {
		return err
	}
	if _, err := x.accepted(r); err != nil {
		return err
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" || len(r.Header["Authorization"]) > 1 {
		return refusal{
			status: http.StatusUnauthorized,
			detail: "The Authorization field is not one of Bearer and the message's owner_token or a claim.",
			header: header{"Www-Authenticate", []string{"Bearer"}},
		}
	}
	taken := false
	_, err := s.ask(x, r, func() (m message.Message, err error) {
		taken, err = s.messages.Withdraw(storeContext(), id, token, time.Now())
		return m, err
	})
	switch {
	case errors.Is(err, message.ErrToken):
		x.message = EventToken
	case err != nil:
	case taken:
		x.message = EventWithdrawn
		x.sendNothing()
	default:
		x.message = EventEnded
		x.sendNothing()
	}
	return err
}

// sendNothing answers 204.
func (x *Exchange) sendNothing() {
	x.status = http.StatusNoContent
	x.w.WriteHeader(http.StatusNoContent)
}

// sendState answers with what is known of a limited message before it is opened.
// It is JSON, also for a client that would rather have text.
func (s *routes) sendState(x *Exchange, r *http.Request, m message.Message) error {
	if x.as == asText && !admitsJSON(r.Header["Accept"]) {
		return refusal{
			status: http.StatusNotAcceptable,
			detail: "The message has to be opened with POST. What is known of it before that is application/json.",
		}
	}
	x.send(r, http.StatusOK, jsonType, appendEnd([]byte(`{"status":200`), m))
	return nil
}
