package ops

import (
	"log/slog"
	"net/netip"
)

// A ClientForm is how much of a client's address a log line shows. An address can be
// personal data, so the operator chooses.
type ClientForm string

// The forms of a client's address.
const (
	ClientPrefix ClientForm = "prefix" // 192.0.2.0/24, 2001:db8:1::/48
	ClientWhole  ClientForm = "whole"  // 192.0.2.7
	ClientNone   ClientForm = "none"   // the attribute is left out
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
	switch {
	case !addr.IsValid() || f == ClientNone:
		return b
	case f == ClientWhole:
		return addr.AppendTo(b)
	}
	bits := 48 // like 24 bits of IPv4, commonly one customer or site
	if addr.Is4() {
		bits = 24
	}
	prefix, _ := addr.Prefix(bits) // both lengths are valid
	return prefix.AppendTo(b)
}

// A user agent is a client's text and can be as long as a header. Its beginning is enough.
const (
	agentKey  = "user_agent"
	agentSize = 120
)

// clean does for the standard library's handlers what an encoder does itself.
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
