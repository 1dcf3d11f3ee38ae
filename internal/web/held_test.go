package web

import "testing"

func TestHeldBoundsAllAndEachClient(t *testing.T) {
	var h held
	const answer = 1 << 20
	hold := func(c byte) (n int) {
		for h.take(Client{c}, answer) {
			n++
		}
		return n
	}
	if n := hold(1); n != heldByClient/answer {
		t.Errorf("one client holds %d answers, want %d", n, heldByClient/answer)
	}
	if !h.take(Client{2}, answer) {
		t.Error("another client is refused because of the first")
	}
	h.give(Client{2}, answer)
	total := heldByClient / answer
	for c := byte(2); c < 20; c++ {
		total += hold(c)
	}
	if total != heldAtMost/answer {
		t.Errorf("all hold %d answers, want %d", total, heldAtMost/answer)
	}
	for c := byte(1); c < 20; c++ {
		for h.clients[Client{c}] > 0 {
			h.give(Client{c}, answer)
		}
	}
	if h.all != 0 || len(h.clients) != 0 {
		t.Errorf("afterwards %d bytes of %d clients are left", h.all, len(h.clients))
	}
	// One answer is always possible, however large.
	if !h.take(Client{1}, heldByClient+1) {
		t.Error("a client that holds nothing is refused")
	}
}
