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

// AddHeaders adds an item for each of these decisions to the two fields. The unit
// of tokens other than requests is named (section 3.1). The window of a limit item
// (section 4.1) ends when there is one more token: until then the client can spend
// what remains, and no more.
func AddHeaders(header http.Header, decisions ...Decision) {
	var room [2][192]byte
	policies, limits := room[0][:0], room[1][:0]
	if set := header[policyField]; len(set) > 0 {
		policies, limits = append(policies, set[0]...), append(limits, header[limitField][0]...)
	}
	for _, d := range decisions {
		if d.Quota == 0 {
			continue
		}
		policies = appendItem(policies, d.Budget, ";q=", d.Quota)
		if d.Budget == Bytes || d.Budget == ReadBytes {
			policies = append(policies, `;qu="content-bytes"`...)
		}
		policies = strconv.AppendInt(append(policies, ";w="...), d.Window, 10)
		limits = appendItem(limits, d.Budget, ";r=", d.Remaining)
		limits = strconv.AppendInt(append(limits, ";t="...), d.Reset, 10)
	}
	if len(policies) == 0 {
		return
	}
	// One string and one slice for both fields: half of what Header.Set takes.
	cut := len(policies)
	text := string(append(policies, limits...))
	values := []string{text[:cut], text[cut:]}
	header[policyField] = values[:1:1]
	header[limitField] = values[1:]
}

// appendItem appends an item to a list: the name of a budget, a String (RFC 9651,
// section 3.3.3), and its first parameter.
func appendItem(list []byte, b Budget, parameter string, n int64) []byte {
	if len(list) > 0 {
		list = append(list, ", "...)
	}
	list = append(list, '"')
	list = append(list, b.String()...)
	list = append(list, '"')
	list = append(list, parameter...)
	return strconv.AppendInt(list, n, 10)
}
