package tlscert

import (
	"net/netip"
	"net/url"
	"strings"
)

// normalized returns hosts in the one form in which names are compared here:
// lower case, each once.
func normalized(hosts []string) []string {
	seen := make(map[string]bool, len(hosts))
	out := make([]string, 0, len(hosts))
	for _, h := range hosts {
		if h = strings.ToLower(h); !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	return out
}

// hostOf returns the host of a Host header field in the form that normalized
// gives: without its port, an IPv6 address without its brackets.
func hostOf(header string) string {
	return strings.ToLower(strings.TrimSuffix((&url.URL{Host: header}).Hostname(), "."))
}

// isIP reports whether host is an IP address without a zone.
func isIP(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == ""
}

// isDNS reports whether host is a DNS name as hosts have them, in lower case and
// ASCII (RFC 1123, section 2.1).
func isDNS(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return !isIP(host)
}
