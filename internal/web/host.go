package web

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// ParseHost reads what a Host field or an --host holds, a name or an address
// with or without a port, and returns the name in the one form in which names
// are compared: lower case, no final dot; addresses as netip writes them. The
// port comes with its colon, or empty. It fails on anything that is not a host
// (RFC 3986, section 3.2.2, without percent-encoding; names are ASCII, so an
// international one is given in its xn-- form).
func ParseHost(s string) (name, port string, ok bool) {
	name = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, port = s[:i], s[i:]
		if n, err := strconv.ParseUint(port[1:], 10, 16); err != nil || n == 0 || port[1] == '+' {
			return "", "", false
		}
	}
	if bracketed, found := strings.CutPrefix(name, "["); found {
		bracketed, found = strings.CutSuffix(bracketed, "]")
		addr, err := netip.ParseAddr(bracketed)
		if !found || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		return addr.String(), port, true
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.String(), port, addr.Is4()
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name, port, validName(name)
}

// validName reports whether s is a host name in lower case (RFC 1123, section
// 2.1, and the underscore that people use), of at most 253 characters. A name
// whose last label is a number is an address that did not parse.
func validName(s string) bool {
	if len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

// Hosts lets through requests to one of the names (as ParseHost returns them);
// others get a 421. Where names is empty any well-formed host is served.
func Hosts(names []string, next Handler) Handler {
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
	}
	return func(x *Exchange, r *http.Request) error {
		name, port, ok := ParseHost(r.Host)
		switch {
		case len(known) > 0 && !known[name]:
			return refusal{status: http.StatusMisdirectedRequest, detail: "This service does not answer to that host name."}
		case !ok:
			return refusal{status: http.StatusBadRequest, detail: "The Host field is missing or is not a host name."}
		}
		x.host, x.port = name, port
		return next(x, r)
	}
}
