package web

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// A pair is a name that a form or a query may hold, once, and where its value
// goes.
type pair struct {
	name  string
	value *string
}

// parseQuery returns ttl from a query that may hold nothing else.
func parseQuery(query string) (ttl string, err error) {
	err = parsePairs(query, "query parameter", pair{"ttl", &ttl})
	return ttl, err
}

// parseForm returns message and ttl from a form that may hold nothing else.
func parseForm(body string) (text []byte, ttl string, err error) {
	var message string
	if err := parsePairs(body, "form field", pair{"message", &message}, pair{"ttl", &ttl}); err != nil {
		return nil, "", err
	}
	if !utf8.ValidString(message) {
		return nil, "", badRequest(`The form field "message" is not UTF-8.`)
	}
	return []byte(message), ttl, nil
}

// parsePairs reads name=value&… as forms and queries are encoded (URL Standard,
// section 5.1). It refuses names other than the known ones, so that a misspelt
// ttl does not become the default, repeated ones, of which either might be
// meant, and empty values. url.ParseQuery would first build a map of whatever
// names came, which costs many times the body's size.
func parsePairs(s, kind string, known ...pair) error {
	for field := range strings.SplitSeq(s, "&") {
		if field == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(field, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return badRequest("The name of a %s is malformed: it must be percent-encoded.", kind)
		}
		target := valueOf(name, known)
		if target == nil {
			return badRequest("The %s %s is not known; known are: %s.", kind, quote(name), names(known))
		}
		value, err := url.QueryUnescape(rawValue)
		switch {
		case err != nil:
			return badRequest("The %s %q is malformed: it must be percent-encoded.", kind, name)
		case *target != "":
			return badRequest("The %s %q is given more than once.", kind, name)
		case value == "":
			return badRequest("The %s %q is empty.", kind, name)
		}
		*target = value
	}
	return nil
}

func valueOf(name string, known []pair) *string {
	for _, p := range known {
		if p.name == name {
			return p.value
		}
	}
	return nil
}

func names(known []pair) string {
	list := make([]string, len(known))
	for i, p := range known {
		list[i] = p.name
	}
	return strings.Join(list, ", ")
}
