package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"messaging_api/internal/limit"
)

func newResolver(t *testing.T) *limit.Resolver {
	t.Helper()
	r, err := limit.NewResolver(nil, 32, 64)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// records reads what a logger of JSON lines has written.
func records(t *testing.T, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

// A connFrom is a connection from an address.
type connFrom struct {
	net.Conn
	addr net.Addr
}

func (c connFrom) RemoteAddr() net.Addr { return c.addr }

// For any number of closed connections there is a line a second for each limit,
// with their number; and a stop loses none of them.
func TestFloodLogTellsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(lines)
		f := newFloodLog(slog.New(slog.NewJSONHandler(out, nil)), newMetrics())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.run(ctx)
		}()
		conn := connFrom{addr: &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 4711}}
		unknown := f.countUnknownNames(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil })
		one := newResolver(t).Of(netip.MustParseAddr("192.0.2.1"))
		other := newResolver(t).Of(netip.MustParseAddr("2001:db8::7"))
		for range 1000 { // of two seconds and a half
			f.Turned(limit.Conns, one)
			f.Turned(limit.Conns, other)
			f.Turned(limit.Displaced, other)
			_, _ = unknown(&tls.ClientHelloInfo{Conn: conn})
			time.Sleep(2500 * time.Microsecond) //nolint:forbidigo // in a bubble
		}
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
		written := records(t, out.String())
		if len(written) != 9 {
			t.Errorf("got %d lines, want one for each of three kinds and three seconds:\n%s", len(written), out)
		}
		count := make(map[string]float64)
		for _, line := range written {
			kind, _ := line["event"].(string)
			if by, ok := line["limit"].(string); ok {
				kind += " " + by
			}
			n, _ := line["count"].(float64)
			count[kind] += n
			if line["client"] == nil {
				t.Errorf("the line %v names no client", line)
			}
		}
		for kind, want := range map[string]float64{"admission conns": 2000, "admission displaced": 1000, "name": 1000} {
			if count[kind] != want {
				t.Errorf("%s: got %v in all, want %v", kind, count[kind], want)
			}
		}
		f.Turned(limit.ConnsPerClient, one)
		stop()
		<-done
		written = records(t, out.String())
		if last := written[len(written)-1]; len(written) != 10 || last["limit"] != limit.ConnsPerClient || last["client"] != "192.0.2.1" {
			t.Errorf("after a stop: got %d lines and %v, want the last connection", len(written), last)
		}
	})
}

// Of the requests without a budget, some have a line of their own, and the rest is
// counted by status and limit: none is lost, with any number of clients.
func TestFloodLogCountsWhatHasNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(lines)
		f := newFloodLog(slog.New(slog.NewJSONHandler(out, nil)), newMetrics())
		go f.run(t.Context())
		own := make(map[string]int)
		ask := func(n int, status int, limited string) {
			sender := netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
			if !f.suppress(sender, status, limited) {
				own[fmt.Sprintf("%d %s", status, limited)]++
			}
		}
		for n := range 500 { // within two seconds
			ask(n, 429, "read")
			ask(n, 405, "")
			ask(0, 429, "create")
			time.Sleep(4 * time.Millisecond) //nolint:forbidigo // in a bubble
		}
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
		counted := make(map[string]int)
		written := records(t, out.String())
		for _, line := range written {
			status, _ := line["status"].(float64)
			limit, _ := line["limit"].(string)
			n, _ := line["count"].(float64)
			counted[fmt.Sprintf("%v %s", status, limit)] += int(n)
			if line["event"] != "requests" || line["client"] == nil {
				t.Errorf("got the line %v", line)
			}
		}
		sum := 0
		for _, what := range []string{"429 read", "405 ", "429 create"} {
			if got := own[what] + counted[what]; got != 500 {
				t.Errorf("%s: %d with lines and %d counted, want 500 in all", what, own[what], counted[what])
			}
			sum += own[what]
		}
		if sum < 2*floodLines || sum > 3*floodLines || len(written) > 9 {
			t.Errorf("%d requests have lines and %d lines tell of the others, want a burst of %d, as many a second, and 9", sum, len(written), floodLines)
		}
	})
}

// Where requests have no lines at all, none is missing in what is counted.
func TestFloodLogWithoutLines(t *testing.T) {
	out := new(lines)
	f := newFloodLog(slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn})), newMetrics())
	for range 7 {
		if !f.suppress(netip.MustParseAddr("192.0.2.1"), 405, "") {
			t.Error("a request is to have a line, which nobody writes")
		}
	}
	f.flush()
	if got := records(t, out.String()); len(got) != 1 || got[0]["count"] != 7.0 {
		t.Errorf("got %s, want one line that counts 7", out)
	}
}

// Only a name for which there is no certificate is counted, and passed on as it is.
func TestFloodLogCountsUnknownNames(t *testing.T) {
	mine, errBroken := new(tls.Certificate), errors.New("broken")
	f := newFloodLog(slog.New(slog.DiscardHandler), newMetrics())
	get := f.countUnknownNames(func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		switch hello.ServerName {
		case "mine":
			return mine, nil
		case "broken":
			return nil, errBroken
		}
		return nil, nil
	})
	conn, _ := net.Pipe()
	for name, want := range map[string]struct {
		certificate *tls.Certificate
		err         error
		counted     uint64
	}{"mine": {mine, nil, 0}, "broken": {nil, errBroken, 0}, "theirs": {nil, nil, 1}} {
		clear(f.counts)
		certificate, err := get(&tls.ClientHelloInfo{ServerName: name, Conn: conn})
		if certificate != want.certificate || !errors.Is(err, want.err) {
			t.Errorf("%s: got %v, %v", name, certificate, err)
		}
		var counted uint64
		for what, count := range f.counts {
			if what.event == "name" {
				counted += count.n
			}
		}
		if counted != want.counted {
			t.Errorf("%s: %d events, want %d", name, counted, want.counted)
		}
	}
}
