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

// However many connections are closed, there is a line a second for each limit,
// with their number; and a stop loses none of them.
func TestDigestWritesOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(lines)
		d := newDigest(slog.New(slog.NewJSONHandler(out, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.run(ctx)
		}()
		one := newResolver(t).Of(netip.MustParseAddr("192.0.2.1"))
		other := newResolver(t).Of(netip.MustParseAddr("2001:db8::7"))
		for range 1000 { // of two seconds and a half
			d.turned(limit.Conns, one)
			d.turned(limit.Conns, other)
			d.turned(limit.Displaced, other)
			d.unknownName(other)
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
		d.turned(limit.ConnsPerClient, one)
		stop()
		<-done
		written = records(t, out.String())
		if last := written[len(written)-1]; len(written) != 10 || last["limit"] != limit.ConnsPerClient || last["client"] != "192.0.2.1" {
			t.Errorf("after a stop: got %d lines and %v, want the last connection", len(written), last)
		}
	})
}

// Of what a client asks for without a budget, some have a line of their own, and
// the rest is counted for each client, status and limit: none is lost.
func TestDigestSparesLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(lines)
		d := newDigest(slog.New(slog.NewJSONHandler(out, nil)))
		go d.run(t.Context())
		one := newResolver(t).Of(netip.MustParseAddr("192.0.2.1"))
		other := newResolver(t).Of(netip.MustParseAddr("2001:db8::7"))
		own := make(map[string]int)
		ask := func(c limit.Client, status int, limit string) {
			if !d.spare(c, status, limit) {
				own[fmt.Sprintf("%v %d %s", c, status, limit)]++
			}
		}
		for range 500 { // within two seconds
			ask(one, 429, "read")
			ask(one, 405, "")
			ask(other, 429, "read")
			time.Sleep(4 * time.Millisecond) //nolint:forbidigo // in a bubble
		}
		for range ownLines {
			ask(other, 404, "") // few enough
		}
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
		counted := make(map[string]int)
		for _, line := range records(t, out.String()) {
			status, _ := line["status"].(float64)
			limit, _ := line["limit"].(string)
			n, _ := line["count"].(float64)
			counted[fmt.Sprintf("%v %v %s", line["client"], status, limit)] += int(n)
			if line["event"] != "requests" {
				t.Errorf("got the line %v", line)
			}
		}
		lines := make(map[string]int)
		for what, want := range map[string]int{
			"192.0.2.1 429 read": 500, "192.0.2.1 405 ": 500, "2001:db8:: 429 read": 500, "2001:db8:: 404 ": ownLines,
		} {
			if got := own[what] + counted[what]; got != want {
				t.Errorf("%s: %d with lines and %d counted, want %d in all", what, own[what], counted[what], want)
			}
			client, _, _ := strings.Cut(what, " ")
			lines[client] += own[what]
		}
		for client, n := range lines {
			if n < 2*ownLines || n > 3*ownLines {
				t.Errorf("%s: %d requests have lines, want %d a second", client, n, ownLines)
			}
		}
	})
}

// However many clients there are, the digest of a second is bounded, and counts
// each of them.
func TestDigestIsBounded(t *testing.T) {
	out := new(lines)
	d := newDigest(slog.New(slog.NewJSONHandler(out, nil)))
	const clients = 4 * maxGathered
	own := 0
	for i := range clients {
		if !d.spare(limit.Client{15: byte(i), 14: byte(i >> 8), 0: 1}, 405, "") {
			own++
		}
	}
	if len(d.gathered) > maxGathered+1 {
		t.Errorf("the digest holds %d occasions, want at most %d", len(d.gathered), maxGathered+1)
	}
	d.write()
	counted := 0.0
	for _, line := range records(t, out.String()) {
		n, _ := line["count"].(float64)
		counted += n
		if named := line["client"] != nil; named != (n == 1) {
			t.Errorf("the line %v: want a client only where it is of one", line)
		}
	}
	if own+int(counted) != clients || own != allOwnLines {
		t.Errorf("%d have lines and %v were counted, want %d and %d in all", own, counted, allOwnLines, clients)
	}
}

// Where requests have no lines at all, none is missing in what is counted.
func TestDigestWithoutLines(t *testing.T) {
	out := new(lines)
	d := newDigest(slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn})))
	for range 7 {
		if !d.spare(newResolver(t).Of(netip.MustParseAddr("192.0.2.1")), 405, "") {
			t.Error("a request is to have a line, which nobody writes")
		}
	}
	d.write()
	if got := records(t, out.String()); len(got) != 1 || got[0]["count"] != 7.0 {
		t.Errorf("got %s, want one line that counts 7", out)
	}
}

// Only a name for which there is no certificate is noted, and passed on as it is.
func TestDigestNotesUnknownNames(t *testing.T) {
	mine, errBroken := new(tls.Certificate), errors.New("broken")
	d := newDigest(slog.New(slog.DiscardHandler))
	get := d.watchNames(newResolver(t), func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
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
		noted       uint64
	}{"mine": {mine, nil, 0}, "broken": {nil, errBroken, 0}, "theirs": {nil, nil, 1}} {
		clear(d.gathered)
		certificate, err := get(&tls.ClientHelloInfo{ServerName: name, Conn: conn})
		if certificate != want.certificate || !errors.Is(err, want.err) {
			t.Errorf("%s: got %v, %v", name, certificate, err)
		}
		var noted uint64
		for _, g := range d.gathered {
			noted += g.count
		}
		if noted != want.noted {
			t.Errorf("%s: %d events, want %d", name, noted, want.noted)
		}
	}
}
