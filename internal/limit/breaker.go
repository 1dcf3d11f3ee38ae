package limit

import (
	"sync"
	"time"
)

// A breaker keeps each decision from waiting for a server that does not answer.
// After a failure it is open: no decision asks Redis for a while, then one at a
// time tries again, until one succeeds.
type breaker struct {
	mu    sync.Mutex // guards what follows
	retry time.Time  // when the next one may try; zero: the breaker is closed
}

// breakerPause is how long the breaker stays open after a failure. It is long
// enough that few decisions wait for the timeout, and short enough that the
// shared budget is back within two seconds of the server, even if one or two
// more attempts fail.
const breakerPause = 500 * time.Millisecond

// allow reports whether the caller may try, and whether that is a trial of an
// open breaker. The caller has to report how it went.
func (b *breaker) allow(now time.Time) (ok, trial bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retry.IsZero() {
		return true, false
	}
	if now.Before(b.retry) {
		return false, false
	}
	b.retry = now.Add(breakerPause) // the others wait for this attempt
	return true, true
}

// report closes the breaker after a success and opens it after a failure. It
// reports whether that changed it.
func (b *breaker) report(now time.Time, success bool) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasClosed := b.retry.IsZero()
	b.retry = time.Time{}
	if !success {
		b.retry = now.Add(breakerPause)
	}
	return success != wasClosed
}
