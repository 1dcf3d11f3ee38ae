package limit

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// A Client is an address cut to the prefix that counts as one client, IPv4 in its
// mapped form. The same client is the same value.
type Client [16]byte

// Addr returns the first address of the client's prefix.
func (c Client) Addr() netip.Addr { return netip.AddrFrom16(c).Unmap() }

// String returns the client's address, without the length of its prefix.
func (c Client) String() string { return c.Addr().String() }

// TokenClient returns what the token of this name counts as: a client with buckets of its
// own, at any address. It is none of the addresses, because no peer is in 100::/8, which is
// reserved (RFC 6890, section 2.2.3).
func TokenClient(name string) Client {
	sum := sha256.Sum256([]byte(name))
	c := Client(sum[:16])
	c[0] = 1
	return c
}

// network returns the /48 of an IPv6 client, as a client of its own. Its last bit
// is set, to tell it from the first client in it. An IPv4 client has none.
func (c Client) network() (Client, bool) {
	if c.Addr().Is4() {
		return Client{}, false
	}
	clear(c[6:])
	c[15] = 1
	return c, true
}

// A Resolver finds the client that a request or a connection comes from.
type Resolver struct {
	proxies            []netip.Prefix
	v4Prefix, v6Prefix int

	unforwarded atomic.Uint64
	lastProxy   atomic.Pointer[netip.Addr] // of an unforwarded request
}

// NewResolver returns a Resolver for which an IPv4 client is a prefix of
// v4Prefix bits (1 to 32), an IPv6 client one of v6Prefix bits (1 to 128): most
// hosts have a whole /64 to take their addresses from. X-Forwarded-For counts only
// in requests from the proxies, which are in their unmapped form.
func NewResolver(proxies []netip.Prefix, v4Prefix, v6Prefix int) (*Resolver, error) {
	if v4Prefix < 1 || v4Prefix > 32 {
		return nil, fmt.Errorf("limit: IPv4 prefix of %d bits: want 1 to 32", v4Prefix)
	}
	if v6Prefix < 1 || v6Prefix > 128 {
		return nil, fmt.Errorf("limit: IPv6 prefix of %d bits: want 1 to 128", v6Prefix)
	}
	return &Resolver{proxies: proxies, v4Prefix: v4Prefix, v6Prefix: v6Prefix}, nil
}

// Sender returns the address that sent a request from remoteAddr
// (http.Request.RemoteAddr) with these headers, the zero Addr if there is none.
// That is the peer, unless the peer is a trusted proxy: then it is the rightmost
// hop of X-Forwarded-For that is not a proxy. The client itself may have sent what
// is left of that hop. No other header is read.
func (r *Resolver) Sender(remoteAddr string, header http.Header) netip.Addr {
	peer, ok := parseHop(remoteAddr)
	if !ok || !r.Trusted(peer) {
		return peer
	}
	client := r.forwardedFor(peer, header["X-Forwarded-For"])
	if header != nil && r.Trusted(client) {
		r.unforwarded.Add(1)
		proxy := peer // a variable of its own, or peer would always be allocated
		r.lastProxy.Store(&proxy)
	}
	return client
}

// Unforwarded returns how many requests came from a trusted proxy without the
// client's address, and the address of the last such proxy. These requests count as
// the proxy's own.
func (r *Resolver) Unforwarded() (count uint64, proxy netip.Addr) {
	if last := r.lastProxy.Load(); last != nil {
		proxy = *last
	}
	return r.unforwarded.Load(), proxy
}

// Of returns the client that addr belongs to. The zero Addr is the client 0.0.0.0,
// which no peer on the network has.
func (r *Resolver) Of(addr netip.Addr) Client {
	addr = plain(addr)
	bits := r.v6Prefix
	if addr.Is4() {
		bits = r.v4Prefix
	}
	p, err := addr.Prefix(bits)
	if err != nil || !p.IsValid() {
		return Client(netip.IPv4Unspecified().As16())
	}
	return Client(p.Addr().As16())
}

// Trusted reports whether addr is that of a trusted proxy.
func (r *Resolver) Trusted(addr netip.Addr) bool {
	addr = plain(addr)
	return slices.ContainsFunc(r.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// maxHops is how many hops of a header are looked at. More are no chain of proxies,
// but an attack.
const maxHops = 32

// forwardedFor returns the last hop that peer, a trusted proxy, vouches for.
// The lines are one list (RFC 9110, section 5.3), read from its right end. A
// malformed hop ends it: no proxy vouches for what is left of it, so the request
// counts as that of the proxy which added it.
func (r *Resolver) forwardedFor(peer netip.Addr, lines []string) netip.Addr {
	list, more := strings.Join(lines, ","), true
	for hops := 0; more && hops < maxHops; hops++ {
		comma := strings.LastIndexByte(list, ',')
		hop := strings.Trim(list[comma+1:], " \t")
		list, more = list[:max(comma, 0)], comma >= 0
		if hop == "" {
			continue // an empty element says nothing (RFC 9110, section 5.6.1.2)
		}
		addr, ok := parseHop(hop)
		if !ok {
			return peer
		}
		if !r.Trusted(addr) {
			return addr
		}
		peer = addr
	}
	return peer
}

// parseHop reads an address with or without a port and brackets, since proxies
// write all of these. Names, "unknown" and the like are no hops.
func parseHop(s string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(s, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if bracketed != closed || strings.Count(s, ":") == 1 { // [IPv6]:port or IPv4:port
		ap, err := netip.ParseAddrPort(s)
		return plain(ap.Addr()), err == nil
	}
	addr, err := netip.ParseAddr(inner)
	return plain(addr), err == nil
}

// plain returns addr unmapped and without its zone: the same host is the same
// address whichever socket it came in through.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
