package web

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// mostFields bounds the fields of a form or a query before they become a map: a
// body of nothing but separators would cost many times its size. The service
// knows two.
const mostFields = 16

// parseQuery returns ttl from a query that may hold nothing else.
func parseQuery(query string) (ttl string, err error) {
	values, err := parseFields(query, "query parameter", "ttl")
	return values.Get("ttl"), err
}

// parseForm returns message and ttl from a form that may hold nothing else.
func parseForm(body string) (text []byte, ttl string, err error) {
	values, err := parseFields(body, "form field", "message", "ttl")
	if err != nil {
		return nil, "", err
	}
	message := values.Get("message")
	if !utf8.ValidString(message) {
		return nil, "", badRequest(`The form field "message" is not UTF-8.`)
	}
	return []byte(message), values.Get("ttl"), nil
}

// parseFields reads name=value&… as forms and queries are encoded (URL Standard,
// section 5.1, where a semicolon separates nothing). It refuses unknown names,
// because a misspelled ttl must not become the default; repeated names, because
// either value might be meant; and empty values.
func parseFields(s, kind string, known ...string) (url.Values, error) {
	if strings.Count(s, "&") >= mostFields {
		return nil, badRequest("There are too many of a %s; known are: %s.", kind, strings.Join(known, ", "))
	}
	values, err := url.ParseQuery(strings.ReplaceAll(s, ";", "%3B"))
	if err != nil {
		return nil, badRequest("A %s is malformed: names and values must be percent-encoded.", kind)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name):
			return nil, badRequest("The %s %s is not known; known are: %s.", kind, quote(name), strings.Join(known, ", "))
		case len(values[name]) > 1:
			return nil, badRequest("The %s %q is given more than once.", kind, name)
		case values[name][0] == "":
			return nil, badRequest("The %s %q is empty.", kind, name)
		}
	}
	return values, nil
}
