package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// containerMemory is what the shipped container has, and the systemd unit.
const containerMemory = 1 << 30

// most returns how much memory Go has ever had at once, in bytes. What the race
// detector takes besides, and pages of the store's file, do not count.
func (s *service) most() int {
	s.t.Helper()
	answer, err := http.Get("http://" + s.ops + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(text), "\ngo_memstats_sys_bytes ")
	value, _, _ = strings.Cut(value, "\n")
	bytes, err := strconv.ParseFloat(value, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(bytes)
}

// expectRoom checks that a container would not have killed the service.
func (s *service) expectRoom() {
	s.t.Helper()
	most := s.most()
	s.t.Logf("memory: at most %d MiB", most>>20)
	if most > containerMemory/2 {
		s.t.Errorf("memory: got %d MiB, want at most half of %d", most>>20, containerMemory>>20)
	}
}

// Bodies that stop before their end are bounded in memory, for one client and for all.
// Those of the client that holds most make room for an honest client.
func TestStalledBodies(t *testing.T) {
	const size, perClient, clients = 1 << 20, 12, 24 // more than all bodies may hold
	for _, protocol := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP %d", protocol), func(t *testing.T) {
			s := startWith(t, []string{"GOMEMLIMIT=920MiB"}, append(noLimits(), "--max-bytes=1MiB")...)
			var refused atomic.Int64
			var open sync.WaitGroup
			var stop []func()
			beside(t, s, func() {
				for client := range clients {
					c := from(fmt.Sprintf("127.0.7.%d", 1+client), protocol)
					c.Timeout = 0
					for range perClient {
						body, more := io.Pipe()
						stop = append(stop, func() { _ = more.CloseWithError(io.ErrUnexpectedEOF) })
						sent := make(chan struct{})
						open.Go(func() {
							_, _ = more.Write(bytes.Repeat([]byte("x"), size-1))
							close(sent)
						})
						open.Go(func() {
							if s.refusesBody(c, body, size) {
								refused.Add(1)
							}
							_ = body.Close()
						})
						<-sent
					}
				}
				eventually(t, time.Minute, "stalled bodies are refused with 503", func() bool { return refused.Load() > 0 })
				if link, err := s.post(from("127.0.9.8", protocol), strings.Repeat("x", size)); err != nil {
					t.Errorf("an honest client's large message: %q, %v", link, err)
				}
			})
			t.Logf("of %d bodies %d were refused", clients*perClient, refused.Load())
			s.expectRoom()
			for _, f := range stop {
				f()
			}
			open.Wait()
			s.stop()
		})
	}
}

// refusesBody sends a body of a size and reports whether the answer says that the
// service is too busy.
func (s *service) refusesBody(c *http.Client, body io.Reader, size int64) bool {
	r, err := http.NewRequest(http.MethodPost, "https://"+s.address+"/", body)
	if err != nil {
		return false
	}
	r.ContentLength = size
	r.Header.Set("Content-Type", "text/plain")
	answer, err := c.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusServiceUnavailable
}

// Answers that clients do not read are bounded too, also small ones: per client
// and in all. The streams of a client over its bound are refused, and connections
// of clients that hold most are closed for an honest one.
func TestParkedAnswers(t *testing.T) {
	const clients, connections, streams = 10, 26, 50 // a client may have fewer, and all together
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprintf("the client reads its connection: %t", reads), func(t *testing.T) {
			s := startWith(t, []string{"GOMEMLIMIT=920MiB"}, noLimits()...)
			var conns []*h2conn
			var listening sync.WaitGroup
			beside(t, s, func() {
				for client := range clients {
					for range connections {
						c := dialParked(t, s, fmt.Sprintf("127.0.7.%d", 1+client))
						conns = append(conns, c)
						if reads {
							listening.Go(c.listen)
						}
						for i := range uint32(streams) {
							if c.headers(2*i+1, http.MethodGet, "/", true) != nil {
								break // closed to make room
							}
						}
					}
				}
				eventually(t, time.Minute, "some make room", func() bool {
					resets, closed := int64(0), 0
					for _, c := range conns {
						resets += c.resets.Load()
						if isClosed(c.ended) {
							closed++
						}
					}
					return !reads || resets > 0 && closed > 0
				})
			})
			s.expectRoom()
			for _, c := range conns {
				_ = c.Close()
			}
			listening.Wait()
			s.stop()
		})
	}
}

// dialParked opens a connection of which no stream has room for an answer.
func dialParked(t *testing.T, s *service, local string) *h2conn {
	t.Helper()
	c := dialH2(t, s, local)
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	return c
}

// What can be stored can be read: an answer of 138 MiB too, where nothing else is
// under way.
func TestLargestAnswer(t *testing.T) {
	s := start(t, "--max-bytes=64MiB")
	const size = 23 << 20
	c := client(1)
	link, err := s.post(c, strings.Repeat("\x01", size))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || n < 6*size {
		t.Errorf("got %s with %d bytes, %v; want 200 with more than %d", answer.Status, n, err, 6*size)
	}
	s.stop()
}

// The collector lets the heap grow by a constant, not by many times what is alive.
func TestCollectorKeepsTheServiceSmall(t *testing.T) {
	s := start(t)
	idle := s.most()
	c := client(1)
	for i := range 250 {
		if _, err := s.post(c, strings.Repeat("x", 200_000)); err != nil {
			t.Fatalf("post %d: %v", i, err)
		}
	}
	t.Logf("memory: %d MiB idle, at most %d MiB", idle>>20, s.most()>>20)
	if got, want := s.most(), 150<<20; got > want {
		t.Errorf("memory: got %d MiB, want at most %d", got>>20, want>>20)
	}
	s.stop()
}
