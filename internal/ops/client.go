package ops

import (
	"log/slog"
	"net/netip"
)

// A ClientForm is how much of a client's address a log line shows. An address can be
// personal data, so the operator chooses.
type ClientForm int

// The forms of a client's address.
const (
	ClientPrefix ClientForm = iota // 192.0.2.0/24, 2001:db8:1::/48
	ClientWhole                    // 192.0.2.7
	ClientNone                     // the attribute is left out
)

// Prefixes of these lengths are commonly given to one customer or site, so that they show
// where abuse comes from.
const (
	shownIPv4 = 24
	shownIPv6 = 48
)

// address returns the address in a value of a type that holds one.
func address(v any) (netip.Addr, bool) {
	switch v := v.(type) {
	case netip.Addr:
		return v, true
	case netip.AddrPort:
		return v.Addr(), true
	case netip.Prefix:
		return v.Addr(), true
	case interface{ AddrPort() netip.AddrPort }: // *net.TCPAddr and its like
		return v.AddrPort().Addr(), true
	}
	return netip.Addr{}, false
}

// appendClient appends the address in this form, or nothing.
func (f ClientForm) appendClient(b []byte, addr netip.Addr) []byte {
	addr = addr.Unmap().WithZone("")
	bits := shownIPv6
	if addr.Is4() {
		bits = shownIPv4
	}
	switch {
	case !addr.IsValid() || f == ClientNone:
		return b
	case f == ClientWhole:
		return addr.AppendTo(b)
	default:
		prefix, err := addr.Prefix(bits)
		if err != nil {
			return b // cannot happen: both lengths are valid
		}
		return prefix.AppendTo(b)
	}
}

// The user agent is the client's own text, as long as a header may be. Its beginning
// is enough.
const (
	agentKey  = "user_agent"
	agentSize = 120
)

// clean does in the standard library's handlers what an encoder does by itself.
func (f ClientForm) clean(a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); a.Key == agentKey && len(s) > agentSize {
			a.Value = slog.StringValue(s[:agentSize])
		}
	case slog.KindAny:
		addr, ok := address(a.Value.Any())
		if !ok {
			break
		}
		text := f.appendClient(nil, addr)
		if len(text) == 0 {
			return slog.Attr{}
		}
		a.Value = slog.StringValue(string(text))
	}
	return a
}
