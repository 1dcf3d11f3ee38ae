package web

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

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
