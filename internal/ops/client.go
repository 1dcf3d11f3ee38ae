package ops

import (
	"log/slog"
	"net/netip"
)

// A ClientForm is how much of a client's address a log line shows. An address is personal
// data wherever one can be tied to a person, so the operator chooses.
type ClientForm int

// The forms of a client's address.
const (
	ClientPrefix ClientForm = iota // 192.0.2.0/24, 2001:db8:1::/48: the neighbourhood, not the house
	ClientWhole                    // 192.0.2.7
	ClientNone                     // the attribute is left out
)

// The prefixes are what is commonly handed to one customer or site's network, so that they
// show where abuse comes from.
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
			return b // only for lengths that no address has
		}
		return prefix.AppendTo(b)
	}
}

// agentKey is the attribute that comes from a client as it likes, up to the size of
// a header, and is of use by its beginning.
const (
	agentKey  = "user_agent"
	agentSize = 120
)

// clean is for slog.HandlerOptions: it does in the standard library's handlers what
// an encoder does by itself.
func (f ClientForm) clean(_ []string, a slog.Attr) slog.Attr {
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
