package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"unicode/utf16"

	"golang.org/x/term"
)

// NewLines returns a handler that writes each record as one line of JSON, in one
// write:
//
//   - times are in UTC, always with milliseconds, so that lines sort as text;
//     durations are seconds with six decimals;
//   - a value of a type of net/netip or net that holds an address is a client's address,
//     shown in the given form;
//   - "user_agent" is cut to 120 characters, after escaping;
//   - all characters but printable ASCII are escaped, so that no line controls a terminal
//     or looks like two;
//   - a group is a prefix of its attributes' names: "tls.version".
//
// The standard library's handler can do most of this through ReplaceAttr, at more than
// twice the cost, and each request has a line.
func NewLines(w io.Writer, level slog.Leveler, client ClientForm) slog.Handler {
	return &lines{out: &output{w: w}, level: level, client: client}
}

// NewConsole returns a handler for a person at a terminal: the standard library's text,
// with only the time of day. It treats addresses, user agents and control characters as
// NewLines does.
func NewConsole(w io.Writer, level slog.Leveler, client ClientForm) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
				return slog.String(a.Key, a.Value.Time().Format("15:04:05.000"))
			}
			return client.clean(a)
		},
	})
}

// Terminal reports whether w is a terminal, so that a person is likely to read it.
func Terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// lines is the handler of NewLines. It does not change after it was made.
type lines struct {
	out    *output
	level  slog.Leveler
	client ClientForm
	attrs  []byte // of With, encoded
	prefix string // the names of the open groups
}

// An output is shared by a handler and all that derive from it.
type output struct {
	mu sync.Mutex // guards w, so that lines are whole
	w  io.Writer
}

// Enabled implements [slog.Handler].
func (h *lines) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithGroup implements [slog.Handler].
func (h *lines) WithGroup(name string) slog.Handler {
	derived := *h
	derived.prefix = group(h.prefix, name)
	return &derived
}

// WithAttrs implements [slog.Handler].
func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	e := encoder{b: slices.Clone(h.attrs), client: h.client}
	for _, a := range attrs {
		e.attr(h.prefix, a)
	}
	derived := *h
	derived.attrs = e.b
	return &derived
}

// buffers holds *[]byte for lines. Larger ones than keptBuffer are not kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keptBuffer = 8 << 10

// Handle implements [slog.Handler].
func (h *lines) Handle(_ context.Context, r slog.Record) error {
	buffer := buffers.Get().(*[]byte)
	e := encoder{b: (*buffer)[:0], client: h.client}
	if !r.Time.IsZero() {
		e.attr("", slog.Time(slog.TimeKey, r.Time))
	}
	e.attr("", slog.String(slog.LevelKey, r.Level.String()))
	e.attr("", slog.String(slog.MessageKey, r.Message))
	e.b = append(e.b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		e.attr(h.prefix, a)
		return true
	})
	e.b[0] = '{' // in place of the first comma
	e.b = append(e.b, '}', '\n')

	h.out.mu.Lock()
	_, err := h.out.w.Write(e.b)
	h.out.mu.Unlock()
	if cap(e.b) <= keptBuffer {
		*buffer = e.b
		buffers.Put(buffer)
	}
	return err
}

// group returns the prefix of the attributes in a group. One without a name has none.
func group(prefix, name string) string {
	if name == "" {
		return prefix
	}
	return prefix + name + "."
}

// An encoder appends members of a JSON object to b, each after a comma.
type encoder struct {
	b      []byte
	client ClientForm
}

// attr appends an attribute, or those of a group.
func (e *encoder) attr(prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, member := range v.Group() {
			e.attr(group(prefix, a.Key), member)
		}
		return
	}
	before := len(e.b)
	e.b = append(e.b, ',')
	e.string(prefix+a.Key, math.MaxInt)
	e.b = append(e.b, ':')
	switch v.Kind() {
	case slog.KindString:
		most := math.MaxInt
		if a.Key == agentKey {
			most = agentSize
		}
		e.string(v.String(), most)
	case slog.KindInt64:
		e.b = strconv.AppendInt(e.b, v.Int64(), 10)
	case slog.KindBool:
		e.b = strconv.AppendBool(e.b, v.Bool())
	case slog.KindDuration:
		e.b = strconv.AppendFloat(e.b, v.Duration().Seconds(), 'f', 6, 64)
	case slog.KindTime:
		e.b = v.Time().UTC().AppendFormat(e.b, `"2006-01-02T15:04:05.000Z"`)
	default:
		if a.Equal(slog.Attr{}) || !e.any(v.Any()) {
			e.b = e.b[:before]
		}
	}
}

// any appends a value of any other type. It returns false if it is an address that is not
// to be shown.
func (e *encoder) any(v any) bool {
	if addr, ok := address(v); ok {
		e.b = append(e.b, '"')
		start := len(e.b)
		e.b = e.client.appendClient(e.b, addr)
		shown := len(e.b) > start
		e.b = append(e.b, '"')
		return shown
	}
	if err, ok := v.(error); ok {
		e.string(err.Error(), math.MaxInt)
		return true
	}
	text, err := json.Marshal(v)
	if err != nil {
		e.string(fmt.Sprintf("%T does not encode", v), math.MaxInt) // the value may be a secret
		return true
	}
	for _, r := range string(text) { // JSON has other characters than ASCII only in strings
		e.char(r, false)
	}
	return true
}

// string appends s as a JSON string (RFC 8259, section 7), cut so that what is between
// the quotes has at most so many characters.
func (e *encoder) string(s string, most int) {
	e.b = append(e.b, '"')
	if len(s) <= most && plain(s) {
		e.b = append(e.b, s...)
	} else {
		start := len(e.b)
		for _, r := range s { // invalid UTF-8 reads as U+FFFD
			before := len(e.b)
			if e.char(r, true); len(e.b)-start > most {
				e.b = e.b[:before]
				break
			}
		}
	}
	e.b = append(e.b, '"')
}

// plain reports whether no character needs an escape.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// char appends a character, as \uXXXX if it is not printable ASCII. If quoted, a quote and
// a backslash get a backslash.
func (e *encoder) char(r rune, quoted bool) {
	switch {
	case quoted && (r == '"' || r == '\\'):
		e.b = append(e.b, '\\', byte(r))
	case ' ' <= r && r <= '~':
		e.b = append(e.b, byte(r))
	case r > math.MaxUint16:
		high, low := utf16.EncodeRune(r)
		e.b = fmt.Appendf(e.b, `\u%04x\u%04x`, high, low)
	default:
		e.b = fmt.Appendf(e.b, `\u%04x`, r)
	}
}
