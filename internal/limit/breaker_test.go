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
		if !try(&b, now) || b.succeed() {
			t.Fatal("a new breaker is not closed")
		}
	}
	if !b.fail(now) {
		t.Error("the first failure does not open it")
	}
	if b.fail(now) {
		t.Error("the second failure opens it again")
	}
	if try(&b, now) || try(&b, now.Add(breakerPause-1)) {
		t.Error("open, it lets someone through")
	}
	now = now.Add(breakerPause)
	if ok, trial := b.allow(now); !ok || !trial {
		t.Error("it lets nobody try again")
	}
	if try(&b, now) || try(&b, now.Add(breakerPause-1)) {
		t.Error("it lets a second one try while the first does")
	}
	now = now.Add(breakerPause)
	if !try(&b, now) {
		t.Error("nobody may try after one who never told how it went")
	}
	if b.fail(now) || try(&b, now.Add(breakerPause-1)) {
		t.Error("a failed attempt closes it")
	}
	now = now.Add(breakerPause)
	if !try(&b, now) || !b.succeed() || b.succeed() {
		t.Error("a success does not close it, once")
	}
	for range 3 {
		if !try(&b, now) {
			t.Error("closed again, it lets nobody through")
		}
	}
}

func try(b *breaker, now time.Time) bool {
	ok, _ := b.allow(now)
	return ok
}

func TestBreakerLetsOneTry(t *testing.T) {
	var b breaker
	b.fail(noon)
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
