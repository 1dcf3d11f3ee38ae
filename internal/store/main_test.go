package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/message"
)

// A messageStore is what both stores are to the service.
type messageStore interface {
	message.Store
	Ping(context.Context) error
	Close() error
}

// TestMain is also the process that tests run beside themselves, where one is
// to be killed, or may crash.
func TestMain(m *testing.M) {
	if job, ok := children[os.Getenv(childJob)]; ok {
		job(os.Getenv(childPath), os.Stdout)
		return
	}
	redis.SetLogger(quietRedis{}) // the tests' own clients would write to stderr
	m.Run()
}

// quiet is the log where a test does not look at it.
var quiet = slog.New(slog.DiscardHandler)

type quietRedis struct{}

func (quietRedis) Printf(context.Context, string, ...any) {}

// deadline is when a test gives up waiting for what has no time limit of its own. A
// busy machine needs much of it.
const deadline = 2 * time.Minute

// eventually waits until f returns nil.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v: %v", what, deadline, err)
		}
	}
}

// promise is how soon each operation ends, even where the back end fails. Tests
// allow several times that, because a busy machine is late: what they find is an
// operation that waits for the back end, and that would wait for ever.
const (
	promise   = 2 * time.Second
	allowance = 10 * time.Second
)

// timely fails a test whose f takes longer than promised.
func timely(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > promise+allowance {
		t.Errorf("%s: took %v, want at most %v", what, took, promise)
	}
}

// noGoroutines waits until no goroutine runs the store's or its libraries' code.
func noGoroutines(t *testing.T) {
	t.Helper()
	eventually(t, "goroutines end", func() error {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
			for _, owner := range []string{"internal/store.(", "go-redis/v9.(", "go-redis/v9/internal/pool.(", "bbolt.("} {
				if bytes.Contains(stack, []byte(owner)) {
					return leak(stack)
				}
			}
		}
		return nil
	})
}

// A leak is the stack of a goroutine.
type leak []byte

func (l leak) Error() string { return string(l) }
