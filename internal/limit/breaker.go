package limit

import (
	"sync/atomic"
	"time"
)

// A breaker keeps decisions from waiting, each in its turn, for a server that
// does not answer. After a failure it lets nobody through for a while, then one
// at a time to try again, until one succeeds. Times are since an epoch that is
// the caller's, and never 0.
type breaker struct {
	until atomic.Int64 // when the next may try, in nanoseconds; 0: all may
}

// retryAfter is how long the breaker stays open after a failure: long enough
// that waiting for the timeout is rare, and short enough that the shared budget
// is back within two seconds of the server, even if it fails once or twice more.
const retryAfter = 500 * time.Millisecond

// allow reports whether the caller may try, and has to report how it went.
func (b *breaker) allow(now time.Duration) bool {
	until := b.until.Load()
	if until == 0 {
		return true
	}
	// Whoever moves the time is the one who tries; the others wait for the next.
	return int64(now) >= until && b.until.CompareAndSwap(until, int64(now+retryAfter))
}

// fail opens the breaker, and reports whether it was closed.
func (b *breaker) fail(now time.Duration) bool {
	return b.until.Swap(int64(now+retryAfter)) == 0
}

// succeed closes the breaker, and reports whether it was open.
func (b *breaker) succeed() bool {
	return b.until.Load() != 0 && b.until.Swap(0) != 0
}
