package limit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	var b breaker
	now := noon
	for range 3 {
		if !try(&b, now) || b.report(now, true) {
			t.Fatal("a new breaker is not closed")
		}
	}
	if !b.report(now, false) {
		t.Error("the first failure does not open it")
	}
	if b.report(now, false) {
		t.Error("the second failure opens it again")
	}
	if try(&b, now) || try(&b, now.Add(breakerPause-1)) {
		t.Error("open, it allows a decision")
	}
	now = now.Add(breakerPause)
	if ok, trial := b.allow(now); !ok || !trial {
		t.Error("it allows no trial")
	}
	if try(&b, now) || try(&b, now.Add(breakerPause-1)) {
		t.Error("it allows a second trial during the first")
	}
	now = now.Add(breakerPause)
	if !try(&b, now) {
		t.Error("no trial is allowed after one without an outcome")
	}
	if b.report(now, false) || try(&b, now.Add(breakerPause-1)) {
		t.Error("a failed attempt closes it")
	}
	now = now.Add(breakerPause)
	if !try(&b, now) || !b.report(now, true) || b.report(now, true) {
		t.Error("a success does not close it, once")
	}
	for range 3 {
		if !try(&b, now) {
			t.Error("closed again, it allows nothing")
		}
	}
}

func try(b *breaker, now time.Time) bool {
	ok, _ := b.allow(now)
	return ok
}

func TestBreakerLetsOneTry(t *testing.T) {
	var b breaker
	b.report(noon, false)
	var through atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if try(&b, noon.Add(breakerPause)) {
				through.Add(1)
			}
		})
	}
	wg.Wait()
	if got := through.Load(); got != 1 {
		t.Errorf("%d of 16 at once may try again, want 1", got)
	}
}
