package web

import (
	"net/http"
	"strings"
)

// An offer is a form in which the service can answer.
type offer int

const (
	notNegotiated offer = iota
	asNothing           // the client takes none of ours
	asJSON
	asText
)

// Of a client's Accept fields at most this much is looked at. Browsers send less
// than 200 bytes; a long list would cost more than the answer.
const (
	acceptBytes    = 1 << 10
	acceptElements = 32
)

// negotiate chooses by the client's Accept fields (RFC 9110, section 12.5.1):
// the higher weight wins, then the more specific range, then JSON, which is also
// the answer where there is no preference at all. Of an element's parameters
// only the weight counts. A malformed element is skipped, so that it cannot turn
// the rest of the list into a refusal. What is not looked at counts as "*/*".
func negotiate(accept []string) offer {
	json, text := preferences(accept)
	switch {
	case json.weight == 0 && text.weight == 0:
		return asNothing
	case text.weight > json.weight, text.weight == json.weight && text.specific > json.specific:
		return asText
	}
	return asJSON
}

// preferences returns what the fields say of each of our types. A client that says
// nothing takes anything.
func preferences(accept []string) (json, text preference) {
	empty := true
	left, elements := acceptBytes, 0
	for _, field := range accept {
		cut := len(field) > left
		if cut {
			field = field[:strings.LastIndexByte(field[:left], ',')+1]
		}
		left -= len(field)
		for element := range strings.SplitSeq(field, ",") {
			if elements++; elements > acceptElements {
				cut = true
				break
			}
			name, params, _ := strings.Cut(element, ";")
			name = strings.TrimSpace(name)
			if name == "" {
				continue
			}
			empty = false
			weight, ok := parseWeight(params)
			if !ok {
				continue
			}
			json.consider(name, "application/json", "application/*", weight)
			text.consider(name, "text/plain", "text/*", weight)
		}
		if cut {
			json.consider("*/*", "", "", fullWeight)
			text.consider("*/*", "", "", fullWeight)
			break
		}
	}
	if empty {
		return preference{1, fullWeight}, preference{1, fullWeight}
	}
	return json, text
}

// admitsJSON reports whether a client takes JSON, if not at first.
func admitsJSON(accept []string) bool {
	json, _ := preferences(accept)
	return json.weight > 0
}

// negotiated returns the form in which this request is answered. It negotiates
// once.
func (x *Exchange) negotiated(r *http.Request) offer {
	if x.as == notNegotiated {
		x.as = negotiate(r.Header["Accept"])
	}
	return x.as
}

// accepted is negotiated, or a refusal where the client takes none of our forms.
func (x *Exchange) accepted(r *http.Request) (offer, error) {
	as := x.negotiated(r)
	if as == asNothing {
		return as, refusal{
			status: http.StatusNotAcceptable,
			detail: "The Accept field admits neither application/json nor text/plain.",
		}
	}
	return as, nil
}

// A preference is what a list says of one of our types: the weight of the most
// specific range that covers it.
type preference struct {
	specific int // 3: the type itself, 2: its family, 1: anything, 0: not named
	weight   int // 0 to fullWeight
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
		whole, fraction, _ := strings.Cut(value, ".")
		if (whole != "0" && whole != "1") || len(fraction) > 3 {
			return 0, false
		}
		weight := int(whole[0] - '0')
		for i := range 3 {
			weight *= 10
			if i < len(fraction) {
				if fraction[i] < '0' || fraction[i] > '9' {
					return 0, false
				}
				weight += int(fraction[i] - '0')
			}
		}
		return weight, weight <= fullWeight
	}
	return fullWeight, true
}
