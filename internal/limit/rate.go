package limit

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// A Rate is a token bucket: so many tokens for each unit of time, and a burst
// that the bucket holds at most. The zero Rate is off, which limits nothing.
// Its text form is RATE/UNIT:BURST, as in "12/m:30", with the units s, m, h and
// d (24 hours), or "off".
type Rate struct {
	tokens int64         // that come back every per
	per    time.Duration // second, minute, hour or day
	burst  int64
}

// Numbers stay below these bounds, so that no computation with them overflows.
const (
	// maxCount is the largest Integer of a structured field (RFC 9651, section
	// 3.3.1), in which bursts are told to clients.
	maxCount = 999_999_999_999_999
	// maxUnits bounds a full bucket, in the units of scale.
	maxUnits = 1 << 61
)

// ParseRate reads the text form of a Rate.
func ParseRate(text string) (Rate, error) { return parseRate(text, parseCount) }

// parseRate reads a rate whose numbers count reads.
func parseRate(text string, count func(string) (int64, error)) (Rate, error) {
	if text == "off" {
		return Rate{}, nil
	}
	fail := func(rule string) (Rate, error) {
		return Rate{}, fmt.Errorf("limit: rate %q: %s", text, rule)
	}
	speed, burst, ok := strings.Cut(text, ":")
	if !ok {
		return fail("want RATE/UNIT:BURST or off: the burst is missing")
	}
	tokens, unit, ok := strings.Cut(speed, "/")
	if !ok {
		return fail("want RATE/UNIT:BURST or off: the unit is missing")
	}
	var r Rate
	var err error
	if r.tokens, err = count(tokens); err != nil {
		return fail("the rate " + err.Error())
	}
	if r.per, ok = parseUnit(unit); !ok {
		return fail("the unit must be s, m, h or d")
	}
	if r.burst, err = count(burst); err != nil {
		return fail("the burst " + err.Error())
	}
	token, _ := r.exact()
	if hi, units := bits.Mul64(uint64(token), uint64(r.burst)); hi != 0 || units > maxUnits { //nolint:gosec // both are positive
		return fail("the burst is too large to be counted exactly at this rate: take a smaller one, or a rate that divides its unit")
	}
	return r, nil
}

// parseCount reads a positive number in decimal digits.
func parseCount(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, errors.New("must be a whole number")
	}
	if err != nil || n == 0 || n > maxCount {
		return 0, fmt.Errorf("must be from 1 to %d", maxCount)
	}
	return int64(n), nil
}

// Off reports whether the rate limits nothing.
func (r Rate) Off() bool { return r.burst == 0 }

// Burst returns the tokens of a full bucket: the largest cost that can ever be
// granted. It is 0 where the rate is off.
func (r Rate) Burst() int64 { return r.burst }

// Window returns in how many seconds an empty bucket fills, rounded up: the
// time window of the policy, whose quota is the burst
// (draft-ietf-httpapi-ratelimit-headers-11, section 3.1.3).
func (r Rate) Window() int64 {
	if r.Off() {
		return 0
	}
	token, refill := r.exact()
	return seconds(token*r.burst, refill)
}

// exact returns the rate as a ratio of integers: one token is so many units,
// and refill of them come back each microsecond.
func (r Rate) exact() (token, refill int64) {
	per := r.per.Microseconds()
	g := gcd(per, r.tokens)
	return per / g, r.tokens / g
}

// seconds returns in how many whole seconds so many units come back, rounded up
// so that waiting for them is enough, and at least 1: with 0, clients would
// retry at once, for ever.
func seconds(units, refill int64) int64 {
	const microseconds = 1e6
	wait := (max(units, 1) - 1) / refill // whole microseconds before the one that ends it
	return wait/microseconds + 1
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// String returns the text form.
func (r Rate) String() string {
	return r.text(func(n int64) string { return strconv.FormatInt(n, 10) })
}

func (r Rate) text(count func(int64) string) string {
	if r.Off() {
		return "off"
	}
	return count(r.tokens) + "/" + unitName(r.per) + ":" + count(r.burst)
}

// MarshalText returns the text form.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

const day = 24 * time.Hour

func parseUnit(name string) (time.Duration, bool) {
	switch name {
	case "s":
		return time.Second, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return day, true
	}
	return 0, false
}

func unitName(per time.Duration) string {
	switch per {
	case time.Second:
		return "s"
	case time.Minute:
		return "m"
	case time.Hour:
		return "h"
	}
	return "d"
}
