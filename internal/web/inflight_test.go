package web

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/message"
)

// A deadlineWriter is a request whose wait for its client can be cut.
type deadlineWriter struct {
	http.ResponseWriter
	cut bool
}

func (w *deadlineWriter) SetReadDeadline(time.Time) error  { w.cut = true; return nil }
func (w *deadlineWriter) SetWriteDeadline(time.Time) error { w.cut = true; return nil }

func request(client byte) (*Exchange, *deadlineWriter) {
	w := new(deadlineWriter)
	return &Exchange{w: w, start: time.Now(), client: Client{client}}, w
}

// One client holds at most its part, and all clients at most the limit.
func TestMemoryBoundsAllAndEachClient(t *testing.T) {
	m := newMemory(256 << 10)
	const size = 1 << 20
	var all []*Exchange
	hold := func(client byte) (n int) {
		for {
			x, _ := request(client)
			if !m.reserve(x, size) {
				return n
			}
			all = append(all, x)
			n++
		}
	}
	if n := hold(1); n != m.clientLimit/size {
		t.Errorf("one client holds %d MiB, want %d", n, m.clientLimit/size)
	}
	for client := range byte(20) {
		hold(2 + client)
	}
	if len(all) != m.limit/size {
		t.Errorf("all clients hold %d MiB, want %d", len(all), m.limit/size)
	}
	for _, x := range all {
		m.release(x, 0)
	}
	if m.held != 0 || len(m.clients) != 0 || len(m.waiting) != 0 {
		t.Errorf("afterwards %d bytes of %d clients are left", m.held, len(m.clients))
	}
}

// When all is held, the client that holds most makes room for those that hold
// less: with its oldest requests that wait for it.
func TestMemoryMakesRoom(t *testing.T) {
	m := newMemory(256 << 10)
	const size = 1 << 20
	fill := func(client byte, n int, w wait) (writers []*deadlineWriter) {
		for range n {
			x, one := request(client)
			if !m.reserve(x, size) {
				t.Fatalf("client %d: no room", client)
			}
			m.setWait(x, w)
			writers = append(writers, one)
		}
		return writers
	}
	most := m.clientLimit / size
	busy := fill(1, most-1, forNothing)
	stalled := fill(2, most-1, forBody)
	var fewer []*deadlineWriter
	for client := byte(3); m.held+size <= m.limit; client++ {
		fewer = append(fewer, fill(client, min(most-2, (m.limit-m.held)/size), forReader)...)
	}
	x, _ := request(200)
	for range 3 { // it grows
		if !m.reserve(x, size) {
			t.Fatal("a client that holds less is refused")
		}
	}
	cut := func(all []*deadlineWriter) (n int) {
		for _, w := range all {
			if w.cut {
				n++
			}
		}
		return n
	}
	if cut(busy) != 0 || cut(fewer) != 0 {
		t.Errorf("cut were %d that do not wait and %d of clients with less", cut(busy), cut(fewer))
	}
	if n := cut(stalled); n == 0 || n > 6 || !stalled[0].cut || stalled[len(stalled)-1].cut {
		t.Errorf("of the client that holds most %d requests were cut, the oldest %t; want a few, the oldest first", n, stalled[0].cut)
	}
	if m.held > m.limit {
		t.Errorf("held are %d bytes, over the limit", m.held)
	}
	// Nobody makes room for a client that would hold more than any other.
	before := cut(stalled) + cut(fewer)
	x, _ = request(1)
	if m.reserve(x, 4*size) || cut(stalled)+cut(fewer) != before {
		t.Error("others made room for a client that would hold more")
	}
}

// One largest answer is possible, whatever --max-bytes is.
func TestMemoryHasRoomForTheLargestAnswer(t *testing.T) {
	for _, maxBytes := range []int64{1, 256 << 10, 64 << 20} {
		load := NewInFlight(1, 0, maxBytes, func(netip.Addr) Client { return Client{} })
		x, _ := request(0)
		text := make([]byte, maxBytes) // each byte is six in JSON
		if load.enter(x) != nil || !load.reserve(x, messageSize(text, appendEnd(nil, message.Message{}))) {
			t.Errorf("--max-bytes %d: its largest answer finds no room", maxBytes)
		}
	}
}

// The size of a message's JSON is known before it is made.
func TestMessageSize(t *testing.T) {
	var every strings.Builder
	for c := range rune(0x800) {
		every.WriteRune(c)
	}
	for _, text := range []string{"", "hello", "\x00\x1f\x7f\"\\/\b\f\n\r\t", "a\u2028b\u2029<&>😀", every.String()} {
		m := message.Message{Text: []byte(text), Expires: time.Now()}
		for opened := range 3 {
			end := appendEnd(nil, m)
			if got, want := messageSize(m.Text, end), len(encodeMessage(m.Text, end, 0)); got != want {
				t.Errorf("%.40q opened %d times: got %d, want %d", text, opened, got, want)
			}
			m.Limited, m.Left, m.Opened = true, opened, make([]time.Time, opened)
		}
	}
}
