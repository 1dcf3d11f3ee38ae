package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// How long a client has before the least rate counts, and until when it has to be cut
// on a busy machine.
const (
	answerGrace = 30 * time.Second
	bodyGrace   = 15 * time.Second
	cutWithin   = 3 * time.Minute
)

// slowly is the time that an honest transfer takes: longer than any deadline that
// does not move.
const slowly = 40 * time.Second

// A slowLine is a connection whose client takes a while to read: first it takes
// what comes, so that it gets to an answer, then bit by bit.
type slowLine struct {
	net.Conn
	first  int // bytes that are read at once
	perBit int // 0: no more is read, until over is closed
	pace   pace
	over   <-chan struct{} // closed when the client reads on as fast as it can
}

// A pace says when the next bit is due, from the first one on. A client that a busy
// machine has delayed makes up for it.
type pace struct {
	between time.Duration
	next    time.Time
}

func (p *pace) due() <-chan time.Time {
	if p.next.IsZero() {
		p.next = time.Now()
	}
	p.next = p.next.Add(p.between)
	return time.After(time.Until(p.next))
}

func (l *slowLine) Read(p []byte) (int, error) {
	select {
	case <-l.over:
		return l.Conn.Read(p)
	default:
	}
	if l.first > 0 {
		n, err := l.Conn.Read(p[:min(len(p), l.first)])
		l.first -= n
		return n, err
	}
	if l.perBit == 0 {
		<-l.over
		return l.Conn.Read(p)
	}
	select {
	case <-l.pace.due():
	case <-l.over:
	}
	return l.Conn.Read(p[:min(len(p), l.perBit)])
}

// on makes the client read as the line says. The kernel takes little for it:
// a small window, and small segments, by which the sender's kernel sizes its own buffer.
func (l slowLine) on(c *http.Client) *http.Client {
	dialer := &net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1400))
		})
		return errors.Join(failed, err)
	}}
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		line := l
		line.Conn = conn
		return &line, err
	}
	c.Timeout = cutWithin + slowly // not before the service is late
	return c
}

// A trickle is a body that comes bit by bit, until its request is over.
type trickle struct {
	left   int
	perBit int
	pace   pace
	over   <-chan struct{}
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-b.pace.due():
	case <-b.over:
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, bytes.Repeat([]byte("x"), min(b.perBit, b.left)))
	b.left -= n
	return n, nil
}

// slowSize is that of what slow clients send and take: more than the kernel's
// buffers and HTTP/2's windows take at once, and than their graces allow.
const slowSize = 250 << 10

// A slow client is served and one that stops is cut off, over both protocols. What
// it held is free again.
func TestSlowClients(t *testing.T) {
	if testing.Short() {
		t.Skip("clients that are slow for a minute")
	}
	tests := map[string]func(t *testing.T, s *service, protocol int){
		"takes nothing": func(t *testing.T, s *service, protocol int) {
			takesTooLittle(t, s, protocol, slowLine{first: 6 << 10})
		},
		"takes too little": func(t *testing.T, s *service, protocol int) {
			takesTooLittle(t, s, protocol, slowLine{first: 6 << 10, perBit: 100, pace: pace{between: time.Second / 4}})
		},
		"takes slowly": func(t *testing.T, s *service, protocol int) {
			takesSlowly(t, s, protocol, 1<<20) // when a deadline of 30 s ends, more is left than the kernel holds
		},
		"takes at little more than the least rate": func(t *testing.T, s *service, protocol int) {
			takesSlowly(t, s, protocol, 64<<10)
		},
		"sends too little": sendsTooLittle,
		"sends slowly":     sendsSlowly,
	}
	var all sync.WaitGroup // at once, whatever -parallel says: they wait far more than they work
	defer all.Wait()
	run := func(name string, test func(t *testing.T, s *service)) {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				s := start(t, "--max-bytes=1MiB")
				test(t, s)
				s.free("afterwards", time.Minute)
				s.stop()
			})
		})
	}
	for name, test := range tests {
		for _, protocol := range []int{1, 2} {
			run(fmt.Sprintf("%s, HTTP %d", name, protocol), func(t *testing.T, s *service) { test(t, s, protocol) })
		}
	}
	run("takes nothing of one stream, HTTP 2", takesNoStream)
}

// free waits until nobody holds anything of the service.
func (s *service) free(name string, bound time.Duration) {
	s.t.Helper()
	eventually(s.t, bound, name+": no connection and no request is there", func() bool {
		now := s.scrape()
		return now["connections_open"] == 0 && now["http_requests_in_flight"] == 0
	})
}

// store creates a message that is large for a slow client, and returns its link.
func (s *service) store(size int) string {
	s.t.Helper()
	c := client(1)
	link, err := s.post(c, strings.Repeat("x", size))
	if err != nil {
		s.t.Fatal(err)
	}
	c.CloseIdleConnections()
	s.free("before", time.Minute)
	return link
}

// cut checks when a client was cut that had this grace.
func cut(t *testing.T, start time.Time, grace time.Duration) {
	t.Helper()
	took := time.Since(start)
	t.Logf("cut after %v", took)
	if took < grace-time.Second || took > cutWithin {
		t.Errorf("cut after %v, want from %v to %v", took, grace, cutWithin)
	}
}

// takesTooLittle asks for what it does not take. The service ends the connection
// while the client still has it.
func takesTooLittle(t *testing.T, s *service, protocol int, line slowLine) {
	link := s.store(slowSize)
	over := make(chan struct{})
	line.over = over
	c := line.on(client(protocol))
	start := time.Now()
	result := make(chan error, 1)
	go func() {
		status, text, err := s.get(c, link)
		if err == nil {
			err = fmt.Errorf("the whole answer: %d and %d bytes", status, len(text))
		} else {
			err = nil
		}
		result <- err
	}()
	eventually(t, time.Minute, "a connection", func() bool { return s.scrape()["connections_open"] == 1 })
	s.free("the client has stopped", cutWithin)
	cut(t, start, answerGrace)
	close(over)
	if err := <-result; err != nil {
		t.Errorf("a client that stopped got %v", err)
	}
	c.CloseIdleConnections()
}

// takesSlowly takes all of an answer, well over the least rate.
func takesSlowly(t *testing.T, s *service, protocol, size int) {
	link := s.store(size)
	const bits = 640
	line := slowLine{first: 6 << 10, perBit: size / bits, pace: pace{between: slowly / bits}}
	c := line.on(client(protocol))
	start := time.Now()
	status, text, err := s.get(c, link)
	if took := time.Since(start); took < answerGrace {
		t.Errorf("the client took only %v", took)
	}
	if err != nil || status != http.StatusOK || len(text) != size {
		t.Errorf("after %v: got %d, %d bytes, %v; want all %d", time.Since(start), status, len(text), err, size)
	}
	c.CloseIdleConnections()
}

// send posts a trickle and returns the status.
func (b trickle) send(s *service, protocol int) (int, error) {
	over := make(chan struct{})
	defer close(over)
	size := b.left
	b.over = over
	request, err := http.NewRequest(http.MethodPost, "https://"+s.address+"/", &b)
	if err != nil {
		return 0, err
	}
	request.ContentLength = int64(size)
	request.Header.Set("Content-Type", "text/plain")
	c := client(protocol)
	c.Timeout = cutWithin + slowly                     // not before the service is late
	c.Transport.(*http.Transport).WriteBufferSize = 16 // each bit goes out by itself
	defer c.CloseIdleConnections()
	got, err := c.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = got.Body.Close() }()
	_, err = io.Copy(io.Discard, got.Body)
	return got.StatusCode, err
}

// sendsTooLittle gets that answer, if it listens before the connection ends.
func sendsTooLittle(t *testing.T, s *service, protocol int) {
	start := time.Now()
	status, err := trickle{left: slowSize, perBit: 100, pace: pace{between: time.Second}}.send(s, protocol)
	cut(t, start, bodyGrace)
	if err == nil && status != http.StatusRequestTimeout {
		t.Errorf("a body that trickles: got %d, want 408, or the connection's end", status)
	}
	t.Logf("a body that trickles: %d %v", status, err)
}

// sendsSlowly creates a message, well over the least rate.
func sendsSlowly(t *testing.T, s *service, protocol int) {
	const bits = 160
	start := time.Now()
	status, err := trickle{left: slowSize, perBit: slowSize / bits, pace: pace{between: slowly / bits}}.send(s, protocol)
	if status != http.StatusOK {
		t.Errorf("a slow body, after %v: got %d %v, want 200", time.Since(start), status, err)
	}
	if took := time.Since(start); took < answerGrace {
		t.Errorf("the client took only %v", took)
	}
}

// takesNoStream reads its connection but never opens a stream's window again: the
// stream is cut, and the connection lives.
func takesNoStream(t *testing.T, s *service) {
	_, path, _ := strings.Cut(s.store(slowSize), s.address)
	c := dialH2(t, s, "127.0.0.1")
	_ = c.SetDeadline(time.Now().Add(cutWithin))
	start := time.Now()
	if err := c.headers(1, http.MethodGet, path, true); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatalf("after %v: got %v, want the stream's end", time.Since(start), err)
		}
		switch frame := frame.(type) {
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = c.framer.WritePing(true, frame.Data)
			}
		case *http2.RSTStreamFrame:
			cut(t, start, answerGrace)
			_ = c.Close()
			return
		}
	}
}
