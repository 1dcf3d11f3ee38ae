package web

import (
	"net/netip"
	"testing"
)

// One client has a share of what is discarded at once, whatever addresses of its
// network it uses, and all together have a bound.
func TestDrainsAreBounded(t *testing.T) {
	d := new(drains)
	at := func(n int) netip.Addr { // addresses of one IPv6 /64
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(n)})
	}
	other := netip.MustParseAddr("192.0.2.1")
	for i := range drainsOfOne {
		if !d.start(at(i)) {
			t.Fatalf("the client's body %d is not discarded", i)
		}
	}
	if d.start(at(200)) {
		t.Error("one client has more than its share")
	}
	if !d.start(other) {
		t.Error("another client has none")
	}
	d.done(at(0))
	if !d.start(at(201)) {
		t.Error("what is done is not given back")
	}
	for i := 0; d.all < drainsInAll; i++ {
		if !d.start(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) {
			t.Fatalf("refused at %d in all", d.all)
		}
	}
	if d.start(netip.MustParseAddr("192.0.2.2")) {
		t.Error("there are more in all than the bound")
	}
	for i := range drainsOfOne {
		d.done(at(i))
	}
	d.done(other)
	if _, kept := d.clients[netip.MustParseAddr("2001:db8::")]; kept || d.clients[other] != 0 {
		t.Error("clients without a body are kept")
	}
}
