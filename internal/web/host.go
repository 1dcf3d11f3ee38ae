package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParseHost reads a Host field or a --host: a name or an address, with or without
// a port (RFC 3986, section 3.2.2, without percent-encoding). It returns a name in
// lower case without a final dot, and an address as netip writes it. The port has
// its colon and no leading zeros, or is empty. An international name has to be in its
// xn-- form.
func ParseHost(s string) (name, port string, ok bool) {
	name = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, port = s[:i], s[i:]
		n, err := strconv.ParseUint(port[1:], 10, 16)
		if err != nil || n == 0 || len(port) > 16 {
			return "", "", false
		}
		if port[1] == '0' {
			port = ":" + strconv.FormatUint(n, 10)
		}
	}
	if name, ok = parseName(name); !ok {
		return "", "", false
	}
	return name, port, true
}

// parseName returns a host without a port in the form in which it is compared.
func parseName(s string) (string, bool) {
	if inside, found := strings.CutPrefix(s, "["); found {
		inside, found = strings.CutSuffix(inside, "]")
		addr, err := netip.ParseAddr(inside)
		return addr.String(), found && err == nil && addr.Is6() && addr.Zone() == ""
	}
	if name := strings.TrimSuffix(s, "."); validName(name) {
		return strings.ToLower(name), true
	}
	addr, err := netip.ParseAddr(s)
	return s, err == nil && addr.Is4()
}

// validName reports whether s is a host name (RFC 1123, section 2.1, and the
// underscore that people use) of at most 253 characters. If the last label is a
// number it is no name, because it may be an address.
func validName(s string) bool {
	if len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
		}) {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

// Hosts lets through requests to one of the names (as ParseHost returns them).
// Others get a 421, and so do requests whose Host differs from the TLS server
// name. Without names every well-formed host is served.
func Hosts(names []string, next Handler) Handler {
	return func(x *Exchange, r *http.Request) error {
		name, port, ok := ParseHost(r.Host)
		x.event = eventHost
		switch {
		case !ok: // RFC 9112, section 3.2
			return refusal{status: http.StatusBadRequest, detail: "The Host field is missing or is not a host name."}
		case len(names) > 0 && !slices.Contains(names, name):
			return refusal{status: http.StatusMisdirectedRequest, detail: "This service does not answer to that host name."}
		case r.TLS != nil && r.TLS.ServerName != "" && !strings.EqualFold(strings.TrimSuffix(r.TLS.ServerName, "."), name):
			// A client that shares a connection between names asks again on a new one
			// (RFC 9110, section 7.4).
			return refusal{status: http.StatusMisdirectedRequest, detail: "The Host field and the TLS server name differ."}
		}
		x.host, x.port, x.event = name, port, ""
		return next(x, r)
	}
}

// Origin refuses, with a 403, what a page of another site makes a browser send: it
// must not spend its visitor's budgets or store messages. Navigations pass, so that
// links can be clicked anywhere. Programs send none of the fields that are judged.
//
// Links begin with publicURL (checked, without a final slash), unless it is empty.
// Its origin is the service's own too.
func Origin(publicURL string, next Handler) Handler {
	protection := http.NewCrossOriginProtection()
	if publicURL != "" {
		host, _, _ := strings.Cut(strings.TrimPrefix(publicURL, "https://"), "/")
		if err := protection.AddTrustedOrigin("https://" + host); err != nil {
			panic(fmt.Sprint("web: a public URL that was not checked: ", err))
		}
	}
	return func(x *Exchange, r *http.Request) error {
		x.publicURL = publicURL
		if foreign(protection, r) {
			x.event = eventForeign
			return errForeign
		}
		return next(x, r)
	}
}

var errForeign = constant(http.StatusForbidden, "A page of another site made the browser send this. Open the link itself, or send the request from a program.")

// foreign reports whether a browser sent a request for a page of another site. A
// read is judged by the Fetch Metadata fields alone (W3C Fetch Metadata Request
// Headers), because CrossOriginProtection lets all of them pass.
func foreign(protection *http.CrossOriginProtection, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return len(r.Header.Get("Origin")) > 512 || protection.Check(r) != nil
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}
