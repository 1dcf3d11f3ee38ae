package limit

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Redis that answers too late decides nothing. It decides again once it answers in
// time, although each late answer has cost its connection.
func TestRedisThatIsSlow(t *testing.T) {
	server := startRedis(t)
	var delay atomic.Int64
	proxy := slowProxy(t, server.addr, &delay)
	client1 := redis.NewClient(&redis.Options{Addr: proxy, ContextTimeoutEnabled: true, DialerRetries: 1})
	t.Cleanup(func() { _ = client1.Close() })
	var log lockedBuffer
	shared := NewShared(client1, NewTable(Limits{Create: mustRate(t, "1/h:100000")}, 100), slog.New(slog.NewTextHandler(&log, nil)))
	shared.timeout = time.Second // the machine may be busy; the delays are in proportion
	decided := func() bool {
		before := shared.Fallbacks()
		return take(shared, client(1), Create, 1, time.Now()).Allowed && shared.Fallbacks() == before
	}
	if !eventually(decided) {
		t.Fatal("Redis does not decide")
	}
	delay.Store(int64(3 * time.Second))
	if decided() {
		t.Error("an answer after three seconds decided")
	}
	delay.Store(int64(600 * time.Millisecond)) // in time, but not twice: a new connection says hello first
	if !eventually(decided) {
		t.Errorf("Redis does not decide though it answers in time:\n%s", log.String())
	}
	if n := strings.Count(log.String(), "\n"); n > 2 {
		t.Errorf("%d lines in the log, want 2:\n%s", n, log.String())
	}
}

// slowProxy passes connections on, each answer after the delay.
func slowProxy(t *testing.T, target string, delay *atomic.Int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", target)
			if err != nil {
				_ = down.Close()
				continue
			}
			go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
			go func() {
				defer func() { _ = down.Close() }()
				buffer := make([]byte, 4096)
				for {
					n, err := up.Read(buffer)
					if err != nil {
						return
					}
					<-time.After(time.Duration(delay.Load()))
					if _, err := down.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
