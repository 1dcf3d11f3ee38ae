package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// patience is how long an honest client waits at most for an answer, and for its
// connection while others load the service. A busy machine needs much of it. The test logs the
// longest that it took.
const patience = 30 * time.Second

// beside runs an attack, and meanwhile an honest client from another address. It
// returns how many requests that made.
func beside(t *testing.T, s *service, attack func()) (requests int) {
	t.Helper()
	over, asked := make(chan struct{}), make(chan int)
	go func() { asked <- honest(t, s, over) }()
	attack()
	close(over)
	n := <-asked
	if status, body := s.ready(); status != http.StatusOK {
		t.Errorf("afterwards: not ready: %s", body)
	}
	return 2 * n
}

// honest posts and reads until over is closed, on one connection for a while and
// then on a new one, and returns how often it did.
func honest(t *testing.T, s *service, over <-chan struct{}) (asked int) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	c := from("127.0.9.9", 2)
	c.Timeout = patience
	slowest := time.Duration(0)
	for {
		if asked%4 == 0 {
			c.CloseIdleConnections()
		}
		start := time.Now()
		link, err := s.post(c, "honest")
		if err == nil {
			_, _, err = s.get(c, link)
		}
		if err != nil {
			t.Errorf("the honest client, after %d times: %v", asked, err)
			return asked
		}
		asked++
		slowest = max(slowest, time.Since(start))
		select {
		case <-tick.C:
		case <-over:
			t.Logf("the honest client posted and read %d times, at most in %v", asked, slowest)
			return asked
		}
	}
}

// A thousand connections, each slow in the same way, do not keep the service from
// others. The limits of one client are off: they would let in 64 only.
func TestThousandSlowConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("an attack")
	}
	need(t, "slowhttptest")
	s := start(t)
	link, err := s.post(client(1), strings.Repeat("x", 64<<10)) // more than the kernel's buffers take
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"headers": {"-H", "-i", "1"},
		"body":    {"-B", "-i", "1", "-s", "8192", "-f", "text/plain"},
		"reading": {"-X", "-w", "256", "-y", "512", "-n", "2", "-z", "16", "-k", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			url := "https://" + s.address + "/"
			if name == "reading" {
				url = link
			}
			beside(t, s, func() { s.attackSlowly(t, append(args, "-u", url)...) })
		})
	}
	s.stop()
}

// attackSlowly runs slowhttptest until it has made a thousand connections, however
// long that takes. The service counts them, and the few of the honest client.
func (s *service) attackSlowly(t *testing.T, args ...string) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	command := exec.CommandContext(ctx, "slowhttptest", append([]string{"-c", "1200", "-r", "250", "-l", "3600", "-p", "5"}, args...)...)
	before, most := s.scrape()["connections_total"], 0.0
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Minute, "slowhttptest has made a thousand connections", func() bool {
		now := s.scrape()
		most = max(most, now["connections_open"])
		return now["connections_total"]-before >= 1100
	})
	end()
	_ = command.Wait() // killed
	t.Logf("slow connections: at most %v at once", most)
}

// An h2conn is an HTTP/2 connection without a client's manners.
type h2conn struct {
	net.Conn
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder

	resets atomic.Int64  // streams that the server has ended
	goAway atomic.Bool   // it has given up the connection
	ended  chan struct{} // closed when it says no more
}

func dialH2(t *testing.T, s *service, local string) *h2conn {
	t.Helper()
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}},
		Config:    &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	}
	conn, err := dialer.DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	c := &h2conn{Conn: conn, framer: http2.NewFramer(conn, conn), ended: make(chan struct{})}
	c.encoder = hpack.NewEncoder(&c.block)
	_, _ = conn.Write([]byte(http2.ClientPreface))
	_ = c.framer.WriteSettings() // an error comes again with the next frame
	return c
}

// listen counts what the server says, until it says no more. It acknowledges
// nothing.
func (c *h2conn) listen() {
	defer close(c.ended)
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil && !errors.As(err, new(http2.StreamError)) {
			return
		}
		switch frame.(type) {
		case *http2.RSTStreamFrame:
			c.resets.Add(1)
		case *http2.GoAwayFrame:
			c.goAway.Store(true)
		}
	}
}

// headers begins a request on a stream.
func (c *h2conn) headers(id uint32, method, path string, end bool) error {
	c.block.Reset()
	for _, field := range [][2]string{
		{":method", method}, {":scheme", "https"}, {":authority", "localhost"}, {":path", path}, {"content-type", "text/plain"},
	} {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true,
	})
}

// What a flood may make of the memory of an idle process. By the limits that are
// set, a connection has 256 KiB of bodies, 50 streams with a header list of 16 KiB
// and a handler each, and net/http's 10,000 queued control frames, of some 200 bytes:
// about 4 MiB. The four of a test may linger, and the collector lets what is alive
// double: 32 MiB, to the 16 of an idle process. The rest is room. As a factor it
// holds under the race detector too, which takes several times as much of both.
const floodGrowth = 5

// peak returns the most memory that the process has had at once, in bytes.
func (s *service) peak() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int
	if _, err := fmt.Sscanf(line, "%d kB", &kilobytes); err != nil {
		s.t.Fatalf("VmHWM in %s: %v", status, err)
	}
	return kilobytes << 10
}

// Rapid reset (CVE-2023-44487), a flood of streams, and header blocks without
// an end (CVE-2023-45288) are cut off, and others do not notice.
func TestHTTP2Floods(t *testing.T) {
	if testing.Short() {
		t.Skip("an attack")
	}
	const streams, connections = 20_000, 4
	// What handlers may see. Of reset streams it is what the sender gets done
	// before it is cut off: those that had ended by then were not too many at once.
	seen := map[string]int{"streams": connections * 50, "headers": 0}
	for name, flood := range map[string]func(t *testing.T, c *h2conn){
		"rapid reset": func(t *testing.T, c *h2conn) {
			for i := range uint32(streams) {
				if c.headers(2*i+1, http.MethodPost, "/", false) != nil || c.framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
					return
				}
			}
		},
		"streams": func(t *testing.T, c *h2conn) {
			for i := range uint32(streams) {
				if c.headers(2*i+1, http.MethodPost, "/", false) != nil {
					return
				}
			}
			// All but the 50 that may be open are refused one by one, if the
			// connection is not ended.
			eventually(t, time.Minute, "the streams are refused", func() bool {
				return c.resets.Load() >= streams-50 || c.goAway.Load() || isClosed(c.ended)
			})
		},
		"headers": func(t *testing.T, c *h2conn) {
			if c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}) != nil {
				return
			}
			fragment := bytes.Repeat([]byte{0x00, 0x01, 'a', 0x01, 'b'}, 3000) // 3000 fields, not indexed
			sent := 0
			for ; sent < 64<<20; sent += len(fragment) {
				if c.framer.WriteContinuation(1, false, fragment) != nil {
					break
				}
			}
			t.Logf("%d bytes of one header were taken off the sender", sent)
			if sent >= 64<<20 {
				t.Error("a header of 64 MiB was read to the end")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, []string{"GOGC=100"}, noLimits()...) // the default would show what the collector leaves lying
			before := s.peak()
			own := beside(t, s, func() {
				for i := range connections { // one after the other, each as much as the server lets it
					c := dialH2(t, s, fmt.Sprintf("127.0.8.%d", 1+i))
					go c.listen()
					flood(t, c)
					t.Logf("streams ended by the server: %d; connection ended: %t", c.resets.Load(), c.goAway.Load() || isClosed(c.ended))
					_ = c.Close()
					<-c.ended
				}
			})
			after := s.peak()
			t.Logf("memory: %d MiB before, at most %d MiB", before>>20, after>>20)
			if after > floodGrowth*before {
				t.Errorf("memory: got %d MiB, want at most %d times the %d MiB of before", after>>20, floodGrowth, before>>20)
			}
			if got := strings.Count(s.stdout.String(), `"event":"panic"`); got != 0 {
				t.Errorf("panics: got %d", got)
			}
			s.stop()
			worked := strings.Count(s.stdout.String(), `"msg":"request"`) - own
			if most, ok := seen[name]; ok && worked > most {
				t.Errorf("requests of the flood that a handler saw: got %d, want at most %d", worked, most)
			}
			t.Logf("requests of the flood that a handler saw: %d of %d", worked, connections*streams)
		})
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
