package limit

import (
	"net/http"
	"strconv"
)

// The fields of draft-ietf-httpapi-ratelimit-headers-11, as net/http writes their
// names.
const (
	policyField = "Ratelimit-Policy"
	limitField  = "Ratelimit"
)

// SetHeaders sets the RateLimit-Policy and RateLimit fields to what these
// decisions say: a list with one item for each. Budgets that are off say nothing;
// if all are off, neither field is set.
func SetHeaders(header http.Header, decisions ...Decision) {
	delete(header, policyField)
	delete(header, limitField)
	AddHeaders(header, decisions...)
}

// AddHeaders adds an item for each of these decisions to the two fields.
func AddHeaders(header http.Header, decisions ...Decision) {
	var room [384]byte
	b := room[:0]
	if set := header[policyField]; len(set) > 0 {
		b = append(b, set[0]...)
	}
	for _, d := range decisions {
		b = appendPolicy(b, d)
	}
	cut := len(b)
	if cut == 0 {
		return
	}
	if set := header[limitField]; len(set) > 0 {
		b = append(b, set[0]...)
	}
	for _, d := range decisions {
		b = appendLimit(b, cut, d)
	}
	// One string and one slice for both fields: half of what Header.Set takes.
	text := string(b)
	values := []string{text[:cut], text[cut:]}
	header[policyField] = values[:1:1]
	header[limitField] = values[1:]
}

// appendPolicy appends the quota policy item of a decision (section 3.1). Tokens
// other than requests name their unit.
func appendPolicy(b []byte, d Decision) []byte {
	if d.Quota == 0 {
		return b
	}
	b = appendName(b, 0, d.Budget)
	b = append(b, ";q="...)
	b = strconv.AppendInt(b, d.Quota, 10)
	if d.Budget == Bytes || d.Budget == ReadBytes {
		b = append(b, `;qu="content-bytes"`...)
	}
	b = append(b, ";w="...)
	return strconv.AppendInt(b, d.Window, 10)
}

// appendLimit appends the service limit item of a decision (section 4.1) to the
// field that begins at start. Its window ends when there is one more token: until
// then the client can spend what remains, and no more.
func appendLimit(b []byte, start int, d Decision) []byte {
	if d.Quota == 0 {
		return b
	}
	b = appendName(b, start, d.Budget)
	b = append(b, ";r="...)
	b = strconv.AppendInt(b, d.Remaining, 10)
	b = append(b, ";t="...)
	return strconv.AppendInt(b, d.Reset, 10)
}

// appendName appends the name of a policy, a String (RFC 9651, section 3.3.3),
// to the list that begins at start.
func appendName(b []byte, start int, budget Budget) []byte {
	if len(b) > start {
		b = append(b, ", "...)
	}
	b = append(b, '"')
	b = append(b, budget.String()...)
	return append(b, '"')
}
