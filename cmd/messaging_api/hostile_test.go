package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// No reply of a server that is not a Redis, or no longer a sane one, ends the
// service: clients get a 503, as while Redis is down.
func TestNoReplyOfRedisEndsTheService(t *testing.T) {
	t.Parallel()
	endless := "-" + strings.Repeat("x", 1<<20)
	for name, query := range map[string]string{
		"single":   "",
		"Cluster":  "?addr=ADDR",
		"Sentinel": "?master_name=here&username=messaging_api",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := startHostileRedis(t)
			s := start(t, "--store=redis://user:password@"+redis.address+strings.ReplaceAll(query, "ADDR", redis.address))
			c := client(1)
			for _, reply := range []string{
				"$9000000000000000000\r\n", "$4000000000000\r\n", "*4000000000000\r\n", ">4000000000000\r\n",
				"*1\r\n*1\r\n%4000000000000\r\n", strings.Repeat("*1000000\r\n", 1000), strings.Repeat("*1\r\n", 1<<20), endless, "$\r\n",
				"*0\r\n", "*1\r\n$1\r\nx\r\n",
			} {
				for _, when := range []string{"always", "after login"} {
					redis.reply.Store(&hostileReply{reply, when == "always"})
					what := fmt.Sprintf("%.30q %s", reply, when)
					if answer := s.must(c, http.MethodPost, "/", "x"); answer.status != http.StatusServiceUnavailable {
						t.Errorf("%s: POST: got %d, want 503", what, answer.status)
					}
					status, _, err := s.get(c, "https://x/msg/00000000-0000-4000-8000-000000000000")
					if err != nil || status != http.StatusServiceUnavailable {
						t.Errorf("%s: GET: got %d %v, want 503", what, status, err)
					}
				}
			}
			s.stop()
		})
	}
}

// A hostileRedis answers all commands with one reply.
type hostileRedis struct {
	address string
	reply   atomic.Pointer[hostileReply]
}

type hostileReply struct {
	text   string
	always bool // to logging in too
}

func startHostileRedis(t *testing.T) *hostileRedis {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	h := &hostileRedis{address: l.Addr().String()}
	h.reply.Store(&hostileReply{text: "-ERR not yet\r\n"})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(c)
		}
	}()
	return h
}

// serve reads commands, which are arrays of strings, and answers each.
func (h *hostileRedis) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	for {
		var words, length int
		var name string
		if _, err := fmt.Fscanf(in, "*%d\r\n", &words); err != nil {
			return
		}
		for i := range words {
			if _, err := fmt.Fscanf(in, "$%d\r\n", &length); err != nil {
				return
			}
			word := make([]byte, length+2)
			if _, err := io.ReadFull(in, word); err != nil {
				return
			}
			if i == 0 {
				name = strings.ToLower(string(word[:length]))
			}
		}
		reply := h.reply.Load()
		text := reply.text
		if !reply.always {
			switch name {
			case "hello":
				text = "-ERR unknown command\r\n"
			case "auth", "ping", "client":
				text = "+OK\r\n"
			}
		}
		if _, err := io.WriteString(c, text); err != nil || text == "" {
			return
		}
	}
}
