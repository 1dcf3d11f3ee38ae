package limit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Rate describes a token bucket: a number of tokens comes back in each unit of time,
// and the bucket holds at most a burst of them. The zero Rate is off: it limits
// nothing.
// Its text form is RATE/UNIT:BURST, as in "12/m:30" or "64KiB/s:4MiB", with the
// units s, m, h and d (24 hours), or "off". The numbers are written as a [Size] is.
type Rate struct {
	text   string
	tokens int64         // that come back every per
	per    time.Duration // second, minute, hour or day
	burst  int64
}

// ParseRate reads the text form of a Rate.
func ParseRate(text string) (Rate, error) {
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
	r := Rate{text: text}
	var err error
	if r.tokens, err = parseCount(tokens); err != nil {
		return fail("the rate " + err.Error())
	}
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	if r.per, ok = units[unit]; !ok {
		return fail("the unit must be s, m, h or d")
	}
	if r.burst, err = parseCount(burst); err != nil {
		return fail("the burst " + err.Error())
	}
	return r, nil
}

// String returns the text form, as it was read.
func (r Rate) String() string {
	if r.Off() {
		return "off"
	}
	return r.text
}

// MarshalText returns the text form.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// Off reports whether the rate limits nothing.
func (r Rate) Off() bool { return r.burst == 0 }

// Burst returns the tokens of a full bucket: the largest cost that can ever be
// granted. It is 0 if the rate is off.
func (r Rate) Burst() int64 { return r.burst }

// Window returns the seconds in which an empty bucket fills, rounded up. It is
// the time window of a policy whose quota is the burst
// (draft-ietf-httpapi-ratelimit-headers-11, section 3.1.3).
func (r Rate) Window() int64 {
	if r.Off() {
		return 0
	}
	return r.seconds(float64(r.burst))
}

func (r Rate) perSecond() float64 { return float64(r.tokens) / r.per.Seconds() }

// seconds returns the whole seconds after which this many tokens are back, rounded
// up so that waiting for them is enough, and at least 1, because a client that
// is told 0 retries at once.
func (r Rate) seconds(tokens float64) int64 {
	return int64(min(max(math.Ceil(r.wait(tokens)), 1), maxCount))
}

// wait returns the seconds after which this many tokens are back, rounded to the
// nanosecond as rate.Limiter does, so that both agree about when they are there.
func (r Rate) wait(tokens float64) float64 {
	return math.Round(tokens/r.perSecond()*1e9) / 1e9
}

// decide says whether a bucket with this number of tokens can pay a cost.
func (r Rate) decide(cost Cost, tokens float64) Decision {
	d := r.decision(cost.Budget, tokens)
	missing := float64(cost.N) - tokens
	if !r.Off() && r.wait(missing) > 0 {
		d.Allowed, d.RetryAfter = false, r.seconds(missing)
	}
	return d
}

// decision describes a bucket with this number of tokens.
func (r Rate) decision(b Budget, tokens float64) Decision {
	if r.Off() {
		return Decision{Budget: b, Allowed: true}
	}
	remaining := math.Floor(max(tokens, 0))
	if remaining < float64(r.burst) && r.wait(remaining+1-tokens) <= 0 {
		remaining++ // the next token is less than a nanosecond away
	}
	return Decision{
		Budget: b, Allowed: true, Quota: r.burst, Window: r.Window(),
		Remaining: int64(remaining), Reset: r.seconds(remaining + 1 - tokens),
	}
}

// A Size is a positive number of bytes. Its text form is a whole number,
// followed by KiB, MiB or GiB (powers of 1024), kB or MB (powers of 1000), or by
// nothing. Fractions are not read: what an operator wrote is what counts.
type Size int64

type sizeUnit struct {
	name  string
	bytes int64
}

// sizeUnits begin with those in which a Size is written.
var sizeUnits = []sizeUnit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}, {"kB", 1e3}, {"MB", 1e6}}

// maxCount is the largest Integer of a structured field (RFC 9651, section
// 3.3.1). Clients are told bursts and windows in such fields.
const maxCount = 999_999_999_999_999

// parseCount reads a positive number of tokens or bytes.
func parseCount(text string) (int64, error) {
	name := strings.TrimLeft(text, "0123456789")
	i := slices.IndexFunc(sizeUnits, func(u sizeUnit) bool { return u.name == name })
	if i < 0 || name == text {
		return 0, errors.New("must be a whole number, then KiB, MiB, GiB, kB, MB or nothing")
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(text, name), 10, 64)
	if err != nil || n == 0 || n > maxCount/sizeUnits[i].bytes {
		return 0, fmt.Errorf("must be from 1 to %d", maxCount)
	}
	return n * sizeUnits[i].bytes, nil
}

// String returns the text form in the largest binary unit that is exact.
func (s Size) String() string {
	i := slices.IndexFunc(sizeUnits, func(u sizeUnit) bool { return s != 0 && int64(s)%u.bytes == 0 || u.bytes == 1 })
	return strconv.FormatInt(int64(s)/sizeUnits[i].bytes, 10) + sizeUnits[i].name
}

// MarshalText returns the text form.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text form.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := parseCount(string(text))
	if err != nil {
		return fmt.Errorf("limit: size %q: the number of bytes %w", text, err)
	}
	*s = Size(n)
	return nil
}
