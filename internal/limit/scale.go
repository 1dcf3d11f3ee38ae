package limit

import "math/bits"

// A scale counts a Rate exactly, in integers. A rate of N tokens in D
// microseconds is counted in units of which one token is D and N come back each
// microsecond (both divided by what they have in common), so that neither
// "7/s" nor 64 KiB a second is ever rounded. What a bucket holds is written as
// what has been used of it: 0 is full, and a full bucket equals no bucket.
//
// The buckets of golang.org/x/time/rate would not do here, though the tests
// hold these against them. One takes 80 bytes, so the budgets of one client
// would take more than 320. Its clock runs back: a call whose time is older
// than the last one sets the bucket's time back to it, and the time between is
// credited twice. And it gives nothing back once the time of a reservation is over.
type scale struct {
	token  int64 // units of one token
	refill int64 // units that come back each microsecond
	full   int64 // units of a full bucket
	quota  int64 // tokens of a full bucket
	window int64 // seconds in which it fills, rounded up
}

// maxUsed is how deep in debt a bucket can be.
const maxUsed = 1 << 62

func newScale(r Rate) scale {
	if r.Off() {
		return scale{}
	}
	token, refill := r.exact()
	return scale{token, refill, token * r.burst, r.burst, r.Window()}
}

func (s *scale) off() bool { return s.quota == 0 }

// fits reports whether a full bucket could pay for n tokens.
func (s *scale) fits(n int64) bool { return n <= s.quota }

// cost returns n tokens in units, or maxUsed where they are more than that.
func (s *scale) cost(n int64) int64 {
	if n <= 0 {
		return 0
	}
	hi, units := bits.Mul64(uint64(n), uint64(s.token)) //nolint:gosec // both are positive
	if hi != 0 || units > maxUsed {
		return maxUsed
	}
	return int64(units)
}

// after returns what is still used once so many microseconds have passed. Time
// that runs backwards changes nothing.
func (s *scale) after(used, elapsed int64) int64 {
	if used == 0 || elapsed <= 0 {
		return used
	}
	hi, units := bits.Mul64(uint64(elapsed), uint64(s.refill)) //nolint:gosec // both are positive
	if hi != 0 || units >= uint64(used) {                      //nolint:gosec // used is positive
		return 0
	}
	return used - int64(units) //nolint:gosec // it is less than used
}

// refund returns how many units of a charge of n tokens can be given back when
// it is so many microseconds old.
//
// Not all of it can. Had the charge never been made, the bucket might have been
// full meanwhile, and what refilled it since would have been lost. So the
// refill of that time stays charged: the client has at least what it had before
// the charge, and never more than it would have had without it. Otherwise,
// whoever holds a full bucket's worth of requests open until it has refilled,
// and then lets them fail, would have two bursts at once.
func (s *scale) refund(n, age int64) int64 { return s.after(s.cost(n), age) }

// decide fills in a decision about n tokens of a bucket of which used units are
// used, after the charge if it was allowed.
func (s *scale) decide(b Budget, used, n int64, allowed bool) Decision {
	left := max(s.full-used, 0)
	d := Decision{
		Budget:    b,
		Allowed:   allowed,
		Quota:     s.quota,
		Window:    s.window,
		Remaining: left / s.token,
	}
	d.Reset = seconds((d.Remaining+1)*s.token-(s.full-used), s.refill)
	switch {
	case allowed:
	case !s.fits(n):
		d.Never = true
	default:
		d.RetryAfter = seconds(used+s.cost(n)-s.full, s.refill)
	}
	return d
}
