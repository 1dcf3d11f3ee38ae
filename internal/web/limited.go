package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

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

// open opens a limited message: it uses up a read, so it is a POST, which no
// program that only looks at links sends.
func (s *routes) open(x *Exchange, r *http.Request, id string) error {
	if err := s.charge(x); err != nil {
		return err
	}
	opening, malformed := parseOpening(x, r)
	opening.Malformed = malformed // judged after the message: a POST to a plain one is a 405, whatever it asks for
	m, err := ask(s, x, r, func(ctx context.Context) (message.Message, error) {
		return s.messages.Open(ctx, id, opening, time.Now())
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

// parseOpening reads {"proof": "…", "claim": "…"}, both optional, or nothing.
func parseOpening(x *Exchange, r *http.Request) (o message.Opening, err error) {
	if err := x.accepted(r); err != nil {
		return o, err
	}
	media, err := mediaType(r.Header)
	if err != nil {
		return o, err
	}
	if media != mediaJSON && r.ContentLength != 0 {
		return o, errOpeningMedia
	}
	body, err := Limits{MaxBytes: 4 << 10}.readBody(x, r)
	if err != nil || len(body) == 0 {
		return o, err
	}
	var in struct {
		Proof jsontext.Value `json:"proof"`
		Claim jsontext.Value `json:"claim"`
	}
	if err := unmarshal(body, &in, `send {"claim": "…"}`, "proof", "claim"); err != nil {
		return o, err
	}
	proof, err := nonEmptyString("proof", in.Proof)
	if err != nil {
		return o, err
	}
	if proof != "" {
		if o.Proof, err = parseProof("proof", proof); err != nil {
			return o, err
		}
	}
	if o.Claim, err = nonEmptyString("claim", in.Claim); err == nil && o.Claim != "" && !claimPattern.MatchString(o.Claim) {
		err = badRequest(`"claim" must be 16 to 64 characters of A-Z, a-z, 0-9, - and _.`)
	}
	return o, err
}

var errOpeningMedia = constant(http.StatusUnsupportedMediaType, "The Content-Type of an opening is "+mediaJSON+".").with("Accept-Post", mediaJSON)

var claimPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{16,64}$`)

// parseProof reads the 32 bytes of a proof or of its hash.
func parseProof(name, text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != sha256.Size || strings.ContainsAny(text, "\r\n") {
		return nil, badRequest("%q must be 32 bytes as base64url: 43 characters, without padding, the last one without spare bits.", name)
	}
	return b, nil
}

// withdraw takes a message back for its sender, or ends a claim of a reader.
func (s *routes) withdraw(x *Exchange, r *http.Request, id string) error {
	if err := s.charge(x); err != nil {
		return err
	}
	if err := x.accepted(r); err != nil {
		return err
	}
	token, shown := bearer(r.Header)
	if !shown {
		return errUnauthorized
	}
	taken, err := ask(s, x, r, func(ctx context.Context) (bool, error) {
		return s.messages.Withdraw(ctx, id, token, time.Now())
	})
	switch {
	case errors.Is(err, message.ErrToken):
		x.message = EventToken
	case err == nil && taken:
		x.message = EventWithdrawn
	case err == nil:
		x.message = EventEnded
	}
	if err == nil {
		x.begin(http.StatusNoContent)
	}
	return err
}

var errUnauthorized = constant(http.StatusUnauthorized, "The Authorization field is not one of Bearer and the message's owner_token or a claim.").
	with("Www-Authenticate", "Bearer")

// sendState answers with what is known of a limited message before it is opened.
// It is JSON, even for a client that prefers text.
func (s *routes) sendState(x *Exchange, r *http.Request, m message.Message) error {
	if x.as == asText && rank(r.Header["Accept"]).json.weight == 0 {
		return errStateIsJSON
	}
	x.send(r, http.StatusOK, jsonType, appendEnd([]byte(`{"status":200`), m))
	return nil
}

var errStateIsJSON = constant(http.StatusNotAcceptable, "The message has to be opened with POST. What is known of it before that is application/json.")
