package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Creators says who may create messages. Reading, opening and taking back stay open to
// everyone who has the link. The zero Creators is anyone.
type Creators struct {
	Tokens Tokens         // of clients that show one; nil: there are none
	From   []netip.Prefix // of clients that need no token
}

// Tokens are the tokens with which clients may create messages. They are safe for concurrent use.
type Tokens interface {
	// Name returns the name of a token. How long it takes says nothing about the tokens.
	Name(token string) (name string, known bool)
	// Created counts a message that was created with the token of this name, or without
	// one if the name is empty.
	Created(name string)
}

// trusts reports whether a client at this address needs no token.
func (c Creators) trusts(sender netip.Addr) bool {
	return slices.ContainsFunc(c.From, func(p netip.Prefix) bool { return p.Contains(sender) })
}

// wantsToken reports whether a client at this address creates with a token only.
func (c Creators) wantsToken(sender netip.Addr) bool { return c.Tokens != nil && !c.trusts(sender) }

// authorize judges whether the client may create a message that counts about size bytes,
// and takes a creation from its budget. A wrong token is charged as a miss instead, which
// stops guessing. Other refusals are not: a colleague without a token must not stop the
// reads of the whole office.
func (s *routes) authorize(x *Exchange, r *http.Request, size int) error {
	var refused error
	token, shown := bearer(r.Header)
	switch c := s.creators; {
	case !c.wantsToken(x.sender):
		if c.Tokens != nil && shown {
			x.token, _ = c.Tokens.Name(token)
		} else if c.Tokens == nil && c.From != nil && !c.trusts(x.sender) {
			refused = errNotFrom
		}
	case !shown:
		refused = errNoToken
	default:
		// Before the token is compared: otherwise the answer would show a right one.
		if denial := s.limiter.Guess(x.client, x.w.Header()); denial != nil {
			return x.tooMany(denial)
		}
		name, known := c.Tokens.Name(token)
		if !known {
			s.limiter.Missed(x.client, x.w.Header())
			x.charged, x.event = true, eventDenied
			return errWrongToken
		}
		x.token = name
	}
	if denial := s.limiter.Create(x.client, x.token, size, x.w.Header()); denial != nil {
		return x.tooMany(denial)
	}
	x.charged = true
	if refused != nil {
		x.event = eventDenied
	}
	return refused
}

// bearer returns the token in the Authorization field (RFC 6750, section 2.1).
func bearer(h http.Header) (token string, shown bool) {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && len(h["Authorization"]) == 1
}

// The refusals of creations (RFC 6750, section 3).
var (
	errNoToken = constant(http.StatusUnauthorized, "Creating a message needs a token: send Authorization: Bearer and the token.").
			with("Www-Authenticate", `Bearer realm="messaging_api"`)
	errWrongToken = constant(http.StatusUnauthorized, "The token is not one of this service. Nothing was stored.").
			with("Www-Authenticate", `Bearer realm="messaging_api", error="invalid_token"`)
	errNotFrom = constant(http.StatusForbidden, "Messages cannot be created from your address. Reading them needs nothing but the link.")
)
