package web

import (
	"net/http"
	"strconv"
	"strings"
)

// An offer is a form in which the service can answer.
type offer int

const (
	notNegotiated offer = iota
	asNothing           // the client takes none of ours
	asJSON
	asText
	asPage // of refusals: a person asked for the page
)

// A ranking is what a client's Accept fields say of each of our types.
type ranking struct{ json, text, html preference }

// choose returns the form of an answer (RFC 9110, section 12.5.1): the higher
// weight wins, then the more specific range, then JSON, which is also the answer
// where there is no preference at all. A page is never chosen here.
func (k ranking) choose() offer {
	switch {
	case k.json.weight == 0 && k.text.weight == 0:
		return asNothing
	case k.text.above(k.json):
		return asText
	}
	return asJSON
}

// page reports whether the client names HTML and ranks it above JSON and text, as
// browsers do.
func (k ranking) page() bool {
	return k.html.specific == 3 && k.html.above(k.json) && k.html.above(k.text)
}

// rank reads the Accept fields. A client that says nothing takes anything.
func rank(accept []string) (k ranking) {
	empty := eachElement(accept, func(name string, weight int) {
		k.json.consider(name, "application/json", "application/*", weight)
		k.text.consider(name, "text/plain", "text/*", weight)
		k.html.consider(name, "text/html", "text/*", weight)
	})
	if empty {
		everything := preference{1, fullWeight}
		return ranking{everything, everything, everything}
	}
	return k
}

// eachElement calls f with the elements of a list and their weights, and reports
// whether there are none. It ignores other parameters, and skips a malformed
// element, so that it does not turn the rest of the list into a refusal. A list
// that is much longer than those of browsers (200 bytes) would cost more than the
// answer, and counts as empty.
func eachElement(fields []string, f func(name string, weight int)) (empty bool) {
	list := strings.Join(fields, ",")
	if len(list) > 1<<10 || strings.Count(list, ",") >= 32 {
		return true
	}
	empty = true
	for element := range strings.SplitSeq(list, ",") {
		name, params, _ := strings.Cut(element, ";")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		empty = false
		if weight, ok := parseWeight(params); ok {
			f(name, weight)
		}
	}
	return empty
}

// negotiated returns the form in which this request is answered. It negotiates
// once.
func (x *Exchange) negotiated(r *http.Request) offer {
	if x.as == notNegotiated {
		k := rank(r.Header["Accept"])
		x.as, x.html = k.choose(), k.page()
	}
	return x.as
}

// accepted negotiates, and returns a refusal where the client takes none of our forms.
func (x *Exchange) accepted(r *http.Request) error {
	if x.negotiated(r) == asNothing {
		return errNotAcceptable
	}
	return nil
}

var errNotAcceptable = constant(http.StatusNotAcceptable, "The Accept field admits neither application/json nor text/plain.")

// A preference is what a list says of one of our types: the weight of the most
// specific range that covers it.
type preference struct {
	specific int // 3: the type itself, 2: its family, 1: anything, 0: not named
	weight   int // 0 to fullWeight
}

// above reports whether p has the higher weight, or with the same weight the more
// specific range.
func (p preference) above(other preference) bool {
	return p.weight > other.weight || p.weight == other.weight && p.specific > other.specific
}

func (p *preference) consider(name, exact, family string, weight int) {
	specific := 0
	switch {
	case strings.EqualFold(name, exact):
		specific = 3
	case strings.EqualFold(name, family):
		specific = 2
	case name == "*/*":
		specific = 1
	}
	if specific > p.specific {
		*p = preference{specific, weight}
	}
}

const fullWeight = 1000

// parseWeight returns the parameter q in thousandths, 1000 where it is absent
// (RFC 9110, section 12.4.2).
func parseWeight(params string) (int, bool) {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		weight, err := strconv.ParseFloat(value, 64)
		plain := len(value) <= len("0.000") && strings.Trim(value, "0123456789.") == ""
		return int(weight*fullWeight + 0.5), plain && err == nil && weight <= 1
	}
	return fullWeight, true
}
