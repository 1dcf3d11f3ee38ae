package web

import "sync"

// Large answers stay in memory until their clients have taken them, which a
// client can delay on purpose, on as many streams as it has. These bound what
// that costs, in bytes: in all, and for one client.
const (
	heldAtMost   = 128 << 20
	heldByClient = heldAtMost / 8
)

// held counts the bytes of large answers on their way. Its zero value is ready.
type held struct {
	mu      sync.Mutex // guards what follows
	all     int
	clients map[Client]int // those that hold something: no more than there are answers
}

// take makes room for n bytes to c, or reports that there is none.
func (h *held) take(c Client, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all+n > heldAtMost || h.clients[c]+n > heldByClient && h.clients[c] > 0 {
		return false
	}
	if h.clients == nil {
		h.clients = make(map[Client]int)
	}
	h.all += n
	h.clients[c] += n
	return true
}

// give gives the room back.
func (h *held) give(c Client, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all -= n
	if h.clients[c] -= n; h.clients[c] <= 0 {
		delete(h.clients, c)
	}
}
