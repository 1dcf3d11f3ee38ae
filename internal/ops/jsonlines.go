package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"
)

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
	derived.prefix += name + "."
	return &derived
}

// WithAttrs implements [slog.Handler].
func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		derived.attrs = h.appendAttr(derived.attrs, a)
	}
	return &derived
}

// buffers holds *[]byte for lines. Larger ones than keptBuffer are not kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keptBuffer = 8 << 10

// Handle implements [slog.Handler].
func (h *lines) Handle(_ context.Context, r slog.Record) error {
	buffer := buffers.Get().(*[]byte)
	b := append((*buffer)[:0], `{"time":`...)
	b = appendTime(b, r.Time)
	b = append(b, `,"level":`...)
	b = appendString(b, r.Level.String())
	b = append(b, `,"msg":`...)
	b = appendString(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = h.appendAttr(b, a)
		return true
	})
	b = append(b, '}', '\n')

	h.out.mu.Lock()
	_, err := h.out.w.Write(b)
	h.out.mu.Unlock()
	if cap(b) <= keptBuffer {
		*buffer = b
		buffers.Put(buffer)
	}
	return err
}

// appendAttr appends a member of a JSON object, after a comma.
func (h *lines) appendAttr(b []byte, a slog.Attr) []byte {
	if a = h.client.clean(a); a.Equal(slog.Attr{}) {
		return b
	}
	b = append(b, ',')
	b = appendString(b, h.prefix+a.Key)
	b = append(b, ':')
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindDuration:
		return strconv.AppendFloat(b, v.Duration().Round(time.Microsecond).Seconds(), 'f', -1, 64)
	case slog.KindTime:
		return appendTime(b, v.Time())
	default:
		if err, ok := v.Any().(error); ok {
			return appendString(b, err.Error())
		}
		return appendJSON(b, v.Any())
	}
}

func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendJSON(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendJSON appends any value, in ASCII: encoding/json escapes neither C1 controls nor
// what reverses the direction of text.
func appendJSON(b []byte, v any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return appendString(b, fmt.Sprintf("%T does not encode", v)) // the value may be a secret
	}
	for _, r := range string(bytes.TrimSpace(text.Bytes())) { // other characters than ASCII are in strings only
		switch {
		case r <= '~':
			b = append(b, byte(r)) //nolint:gosec // it is ASCII
		case r <= math.MaxUint16:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
	}
	return b
}
