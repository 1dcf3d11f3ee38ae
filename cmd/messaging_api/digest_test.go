package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
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
