package limit

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// open starts a Listener on loopback, where each address of 127.0.0.0/8 is a
// client of its own.
func open(t testing.TB, limits Limits, conns, perClient int, proxies ...string) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(inner, newResolver(t, proxies...), NewTable(limits, 1000), conns, perClient)
	l.Observer = &recordingObserver{turned: make(map[string]int)}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// accept accepts connections until the listener is closed.
func accept(t testing.TB, l *Listener) <-chan net.Conn {
	accepted := make(chan net.Conn, 1000)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return accepted
}

// connect connects from the address.
func connect(t testing.TB, l *Listener, from string) (net.Conn, error) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// dial is connect for a connection that is let in.
func dial(t testing.TB, l *Listener, from string) net.Conn {
	t.Helper()
	c, err := connect(t, l, from)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused reports whether a connection from the address is closed at once: it
// may be before the dialer has seen it open.
func refused(t testing.TB, l *Listener, from string) bool {
	t.Helper()
	c, err := connect(t, l, from)
	if errors.Is(err, syscall.ECONNRESET) {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // Read tells
	_, err = c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// eventually waits until ok, at most for a minute.
func eventually(ok func() bool) bool {
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			return ok()
		}
	}
	return true
}

// A recordingObserver is an Observer that keeps counts.
type recordingObserver struct {
	mu       sync.Mutex // guards what follows
	accepted int
	turned   map[string]int
}

func (n *recordingObserver) Accepted() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accepted++
}

func (n *recordingObserver) Turned(admission string, c Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.turned[admission]++
	n.turned[admission+" "+c.String()]++
}

// turned returns how many connections were lost to a limit, or of "limit client".
func turned(l *Listener, what string) int {
	n := l.Observer.(*recordingObserver)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.turned[what]
}

// expect checks what the listener has counted.
func expect(t *testing.T, l *Listener, open int, lost map[string]int) {
	t.Helper()
	if got := l.Open(); got != open {
		t.Errorf("open: got %d, want %d", got, open)
	}
	for _, admission := range Admissions() {
		if got := turned(l, admission); got != lost[admission] {
			t.Errorf("lost to %s: got %d, want %d", admission, got, lost[admission])
		}
	}
}

func TestListenerLimitsEachClient(t *testing.T) {
	l := open(t, Limits{}, 0, 2)
	accepted := accept(t, l)
	dial(t, l, "127.0.0.2")
	first := <-accepted
	dial(t, l, "127.0.0.2")
	<-accepted
	if !refused(t, l, "127.0.0.2") {
		t.Error("the third connection of a client stays open")
	}
	dial(t, l, "127.0.0.3")
	<-accepted
	expect(t, l, 3, map[string]int{ConnsPerClient: 1})
	_ = first.Close()
	_ = first.Close() // gives back nothing more
	dial(t, l, "127.0.0.2")
	<-accepted
	if !refused(t, l, "127.0.0.2") {
		t.Error("closing a connection twice made room for two")
	}
	expect(t, l, 3, map[string]int{ConnsPerClient: 2})
}

func TestListenerLimitsHandshakes(t *testing.T) {
	l := open(t, Limits{Handshake: mustRate(t, "1/h:3")}, 0, 0)
	accepted := accept(t, l)
	for range 3 {
		dial(t, l, "127.0.0.2")
		_ = (<-accepted).Close()
	}
	for range 5 {
		if !refused(t, l, "127.0.0.2") {
			t.Error("a connection beyond the handshakes stays open")
		}
	}
	dial(t, l, "127.0.0.3")
	<-accepted
	expect(t, l, 1, map[string]int{HandshakesPerClient: 5})
}

// Where all connections serve requests none makes room. Accept goes on refusing,
// and never blocks.
func TestListenerLimitsTheTotal(t *testing.T) {
	l := open(t, Limits{}, 2, 0)
	accepted := accept(t, l)
	dial(t, l, "127.0.0.2")
	first := <-accepted
	l.ConnState(first, http.StateActive)
	dial(t, l, "127.0.0.4") // with one each, neither client has more than the next one
	l.ConnState(<-accepted, http.StateActive)
	for range 20 {
		if !refused(t, l, "127.0.0.3") {
			t.Error("a connection beyond the total stays open")
		}
	}
	_ = first.Close()
	dial(t, l, "127.0.0.3")
	<-accepted
	expect(t, l, 2, map[string]int{Conns: 20})
}

// A connection that is refused because the gate is full costs no handshake.
func TestRefusedConnectionsCostNoHandshake(t *testing.T) {
	l := open(t, Limits{Handshake: mustRate(t, "1/h:2")}, 1, 0)
	accepted := accept(t, l)
	dial(t, l, "127.0.0.2")
	first := <-accepted
	l.ConnState(first, http.StateActive)
	for range 5 {
		if !refused(t, l, "127.0.0.2") {
			t.Error("a connection beyond the total stays open")
		}
	}
	_ = first.Close()
	dial(t, l, "127.0.0.2")
	<-accepted
	expect(t, l, 1, map[string]int{Conns: 5})
}

// Behind a trusted proxy all clients have the proxy's address: neither its
// connections nor its handshakes are limited as those of one client.
func TestListenerCountsNoProxyAsAClient(t *testing.T) {
	l := open(t, Limits{Handshake: mustRate(t, "1/h:1")}, 10, 1, "127.0.0.2/32")
	accepted := accept(t, l)
	for range 9 {
		dial(t, l, "127.0.0.2")
		l.ConnState(<-accepted, http.StateNew)
	}
	dial(t, l, "127.0.0.3")
	l.ConnState(<-accepted, http.StateActive)
	if !refused(t, l, "127.0.0.2") || !refused(t, l, "127.0.0.4") {
		t.Error("a proxy's connections do not count in the total, or make room")
	}
	expect(t, l, 10, map[string]int{Conns: 2})
}

// A client that fills the gate with silent connections loses them to clients that
// send requests. Requests that are being served stay.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	l := open(t, Limits{}, 20, 18)
	busy, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(busy)
			<-release
		}
		_, _ = io.WriteString(w, "ok") // the client tells
	}))
	_ = server.Listener.Close() // httptest made one; ours is used instead
	server.Listener = l
	server.Config.ConnState = l.ConnState
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that never came
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	get := func(from, path string) (int, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		tr := server.Client().Transport.(*http.Transport).Clone()
		tr.DialContext = d.DialContext
		defer tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			return 0, err
		}
		res, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}

	// The attacker has one request that is being worked on, one connection past
	// its handshake, and the rest are silent.
	var wg sync.WaitGroup
	wg.Go(func() {
		if status, err := get("127.0.0.66", "/slow"); err != nil || status != http.StatusOK {
			t.Errorf("the request that was being served: %d, %v", status, err)
		}
	})
	<-busy
	idle := tls.Client(dial(t, l, "127.0.0.66"), &tls.Config{InsecureSkipVerify: true})
	if err := idle.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 16 {
		dial(t, l, "127.0.0.66")
	}
	modest := []net.Conn{dial(t, l, "127.0.0.67"), dial(t, l, "127.0.0.67")}
	if !eventually(func() bool { return l.Open() == 20 }) {
		t.Fatalf("not all slots are taken: %d", l.Open())
	}
	const honest = 40
	for i := range honest {
		if status, err := get("127.0.0.5", "/"); err != nil || status != http.StatusOK {
			t.Errorf("honest request %d: %d, %v", i, status, err)
		}
	}
	for _, c := range modest {
		_ = c.SetReadDeadline(time.Now()) // Read tells
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client with two connections lost one to them: %v", err)
		}
	}
	close(release)
	wg.Wait()
	if d := turned(l, Displaced); d == 0 || turned(l, Conns) != 0 || l.Open() > 20 {
		t.Errorf("%d displaced, %d refused, %d open; want some displaced and none refused", d, turned(l, Conns), l.Open())
	}
}

// A connection makes room until its first request and after each, and not while
// one is being served.
func TestServedConnectionsMakeNoRoom(t *testing.T) {
	for _, test := range []struct {
		states   []http.ConnState
		displace bool
	}{
		{nil, true}, // in its handshake
		{[]http.ConnState{http.StateNew}, true},
		{[]http.ConnState{http.StateNew, http.StateActive}, false},
		{[]http.ConnState{http.StateNew, http.StateActive, http.StateIdle}, true},
		{[]http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive}, false},
		{[]http.ConnState{http.StateNew, http.StateActive, http.StateHijacked}, false},
	} {
		l := open(t, Limits{}, 2, 0)
		accepted := accept(t, l)
		from := []string{"127.0.0.2", "127.0.0.2"}
		if !test.displace {
			from[1] = "127.0.0.4" // not one client with more: it would lose a long request
		}
		for _, from := range from {
			dial(t, l, from)
			c := <-accepted
			for _, state := range test.states {
				l.ConnState(tls.Server(c, nil), state)
			}
		}
		if test.displace {
			dial(t, l, "127.0.0.3")
			<-accepted
			expect(t, l, 2, map[string]int{Displaced: 1})
		} else {
			if !refused(t, l, "127.0.0.3") {
				t.Errorf("%v: another one is let in", test.states)
			}
			expect(t, l, 2, map[string]int{Conns: 1})
		}
	}
}

// After many clients have connected and disconnected at once, nothing is left.
func TestListenerForgetsWhoIsGone(t *testing.T) {
	l := open(t, Limits{Handshake: mustRate(t, "1000/s:1000")}, 30, 5)
	server := &http.Server{
		Handler:           http.NotFoundHandler(),
		ConnState:         l.ConnState,
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(g%8+1))}}
			for i := range 30 {
				c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
				if err != nil {
					continue // reset already
				}
				if i%2 == 0 {
					_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") // it may be refused
					_ = c.SetReadDeadline(time.Now().Add(time.Minute))            // Read tells
					_, _ = c.Read(make([]byte, 1))                                // the same
				}
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	if !eventually(func() bool { return l.Open() == 0 }) {
		t.Errorf("all are gone, and still %d are open", l.Open())
	}
	_ = server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.gate.holders) != 0 {
		t.Errorf("%d clients are remembered", len(l.gate.holders))
	}
	for p := range l.gate.byPhase {
		if n := l.gate.byPhase[p].Len(); n != 0 {
			t.Errorf("%d clients are remembered in phase %d", n, p)
		}
	}
}

func TestListenerPassesErrorsOn(t *testing.T) {
	l := open(t, Limits{}, 0, 0)
	_ = l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: got %v, want net.ErrClosed", err)
	}
	l.ConnState(&net.TCPConn{}, http.StateNew) // another listener's: nothing happens
}

func BenchmarkAdmit(b *testing.B) {
	l := open(b, Limits{Handshake: mustRate(b, "1000000/s:999999999999")}, 8192, 64)
	l.Observer = nil
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		c := &conn{Conn: closer{}, listener: l}
		if refused, _ := l.admit(c, client(1), false, now); refused != "" {
			b.Fatal(refused)
		}
		_ = c.Close()
	}
}

// A closer is a connection that can only be closed.
type closer struct{ net.Conn }

func (closer) Close() error { return nil }

// The observer learns which client lost a connection to which limit.
func TestListenerTellsItsObserver(t *testing.T) {
	l := open(t, Limits{Handshake: mustRate(t, "1/h:3")}, 3, 2)
	accepted := accept(t, l)
	var held []net.Conn
	let := func(from string) {
		t.Helper()
		dial(t, l, from)
		c := <-accepted
		l.ConnState(c, http.StateActive)
		held = append(held, c)
	}
	expectRefused := func(from string) {
		t.Helper()
		if !refused(t, l, from) {
			t.Errorf("a connection from %s stays open", from)
		}
	}
	let("127.0.0.2")
	let("127.0.0.2")
	expectRefused("127.0.0.2") // it has two
	let("127.0.0.3")
	expectRefused("127.0.0.4") // there are three, and all serve requests
	l.ConnState(held[0], http.StateIdle)
	let("127.0.0.4") // after one of them
	_ = held[1].Close()
	let("127.0.0.3")
	_ = held[4].Close()
	let("127.0.0.3")
	_ = held[5].Close()
	expectRefused("127.0.0.3") // it had its three handshakes
	expect(t, l, 2, map[string]int{ConnsPerClient: 1, Conns: 1, Displaced: 1, HandshakesPerClient: 1})
	for _, what := range []string{ConnsPerClient + " 127.0.0.2", Conns + " 127.0.0.4", Displaced + " 127.0.0.2", HandshakesPerClient + " 127.0.0.3"} {
		if turned(l, what) != 1 {
			t.Errorf("lost to %s: got %d, want 1", what, turned(l, what))
		}
	}
	notes := l.Observer.(*recordingObserver)
	notes.mu.Lock()
	defer notes.mu.Unlock()
	if notes.accepted != 9 {
		t.Errorf("accepted: got %d, want 9", notes.accepted)
	}
}
