package ops

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// An encoder appends the members of a JSON object to b. It writes a comma before each
// member unless the last byte of b is '{'.
type encoder struct {
	b      []byte
	client ClientForm
}

// inGroups calls fill to append members inside objects of these names. If fill appends
// nothing, inGroups leaves the objects out too and returns false.
func (e *encoder) inGroups(names []string, fill func()) bool {
	before := len(e.b)
	for _, name := range names {
		e.key(name)
		e.b = append(e.b, '{')
	}
	opened := len(e.b)
	fill()
	if len(e.b) == opened {
		e.b = e.b[:before]
		return false
	}
	return true
}

// attr appends an attribute by the rules of slog.Handler: it leaves out a group without
// attributes, and inlines one without a name.
func (e *encoder) attr(a slog.Attr) {
	v := a.Value
	if v.Kind() == slog.KindLogValuer { // Resolve on other kinds would cost as much as writing them
		v = v.Resolve()
	}
	switch v.Kind() {
	case slog.KindGroup:
		var names []string
		if a.Key != "" {
			names = []string{a.Key}
		}
		if e.inGroups(names, func() {
			for _, member := range v.Group() {
				e.attr(member)
			}
		}) && len(names) > 0 {
			e.b = append(e.b, '}')
		}
	case slog.KindString:
		e.key(a.Key)
		if a.Key == agentKey {
			e.agent(v.String())
		} else {
			e.string(v.String())
		}
	case slog.KindAny:
		e.any(a.Key, v.Any())
	default:
		e.key(a.Key)
		e.number(v)
	}
}

// number appends a value that needs no escaping.
func (e *encoder) number(v slog.Value) {
	switch v.Kind() {
	case slog.KindInt64:
		e.b = strconv.AppendInt(e.b, v.Int64(), 10)
	case slog.KindUint64:
		e.b = strconv.AppendUint(e.b, v.Uint64(), 10)
	case slog.KindBool:
		e.b = strconv.AppendBool(e.b, v.Bool())
	case slog.KindDuration:
		e.seconds(v.Duration())
	case slog.KindTime:
		e.time(v.Time())
	case slog.KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) { // JSON has no such number
			e.string(strconv.FormatFloat(f, 'g', -1, 64))
		} else {
			e.b = strconv.AppendFloat(e.b, f, 'g', -1, 64)
		}
	}
}

// any appends a value of any other type.
func (e *encoder) any(key string, v any) {
	if key == "" && v == nil {
		return // the zero attribute
	}
	if addr, ok := address(v); ok {
		before := len(e.b)
		e.key(key)
		e.b = append(e.b, '"')
		start := len(e.b)
		if e.b = e.client.appendClient(e.b, addr); len(e.b) == start {
			e.b = e.b[:before]
			return
		}
		e.b = append(e.b, '"')
		return
	}
	e.key(key)
	if err, ok := v.(error); ok {
		e.string(err.Error())
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		e.string(fmt.Sprintf("%T does not encode", v)) // the value may be a secret
		return
	}
	e.b = appendASCII(e.b, string(text), false) // JSON has other characters only in strings
}

func (e *encoder) key(name string) {
	if last := len(e.b) - 1; last < 0 || e.b[last] != '{' {
		e.b = append(e.b, ',')
	}
	e.string(name)
	e.b = append(e.b, ':')
}

// time appends t in UTC, RFC 3339 with milliseconds.
func (e *encoder) time(t time.Time) {
	t = t.UTC()
	e.b = append(e.b, '"')
	e.b = t.AppendFormat(e.b, time.RFC3339) // package time has a fast path for it
	ms := t.Nanosecond() / 1e6
	e.b = append(e.b[:len(e.b)-len("Z")], '.', digits[ms/100], digits[ms/10%10], digits[ms%10], 'Z', '"')
}

// seconds appends d with six decimals.
func (e *encoder) seconds(d time.Duration) {
	if d < 0 {
		e.b = append(e.b, '-')
		d = -max(d, -math.MaxInt64)
	}
	e.b = strconv.AppendInt(e.b, int64(d/time.Second), 10)
	e.b = append(e.b, '.')
	for rest, unit := d%time.Second, 100*time.Millisecond; unit >= time.Microsecond; unit /= 10 {
		e.b = append(e.b, digits[rest/unit])
		rest %= unit
	}
}

// string appends s as a JSON string (RFC 8259, section 7).
func (e *encoder) string(s string) {
	e.b = append(e.b, '"')
	e.b = appendASCII(e.b, s, true)
	e.b = append(e.b, '"')
}

// agent appends as much of s as fits into agentSize characters, escaped.
func (e *encoder) agent(s string) {
	before := len(e.b)
	s = s[:min(len(s), agentSize)]
	if e.string(s); len(e.b)-before <= agentSize+len(`""`) {
		return
	}
	e.b = append(e.b[:before], '"')
	for len(s) > 0 {
		_, size := utf8.DecodeRuneInString(s)
		whole := len(e.b)
		if e.b = appendASCII(e.b, s[:size], true); len(e.b)-before > agentSize+len(`"`) {
			e.b = e.b[:whole]
			break
		}
		s = s[size:]
	}
	e.b = append(e.b, '"')
}

// plain are the bytes that need no escape, also between quotes.
var plain = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// appendASCII appends s. It writes all but printable ASCII as \uXXXX (above 16 bits as
// two of them), and invalid UTF-8 as the replacement character. If quoted, it writes a
// backslash before each quote and backslash.
func appendASCII(b []byte, s string, quoted bool) []byte {
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && plain[s[i]] {
			i++
		}
		b = append(b, s[start:i]...)
		if i == len(s) {
			break
		}
		if ' ' <= s[i] && s[i] <= '~' {
			if quoted {
				b = append(b, '\\')
			}
			b = append(b, s[i])
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
			b = appendEscape(b, high)
			r = low
		}
		b = appendEscape(b, r)
	}
	return b
}

func appendEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

const digits = "0123456789abcdef"
