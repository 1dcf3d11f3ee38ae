package ops

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// NewLines returns a handler that writes each record as one line of JSON, in one
// write:
//
//   - the time is in UTC, always with three digits of milliseconds, so that lines
//     sort as text; durations are seconds with six decimals;
//   - a client's address, which is any value of a type of net/netip or net that
//     holds one, is shown in the given form;
//   - "user_agent" is cut to 120 characters, as it is shown;
//   - all that is not printable ASCII is escaped, so that no line controls a terminal or
//     looks like two.
//
// The standard library's handler can do this too, through ReplaceAttr, with twice the
// allocations and half as much time again. That is too much for a line of each request.
func NewLines(w io.Writer, level slog.Leveler, client ClientForm) slog.Handler {
	return &lines{out: &output{w: w}, level: level, client: client}
}

// lines is the handler of NewLines. It does not change after it was made.
type lines struct {
	out    *output
	level  slog.Leveler
	client ClientForm

	attrs  []byte   // of With, encoded, with the braces of opened groups
	open   int      // how many braces attrs leaves open
	groups []string // of WithGroup since: opened with their first attribute
}

// An output is shared by a handler and all that derive from it.
type output struct {
	mu sync.Mutex // guards w: a line is written whole
	w  io.Writer
}

// Enabled is for slog.Handler.
func (h *lines) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithGroup is for slog.Handler.
func (h *lines) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.groups = append(slices.Clip(h.groups), name)
	return &derived
}

// WithAttrs is for slog.Handler.
func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	e := encoder{b: slices.Clone(h.attrs), client: h.client}
	opened := e.inGroups(h.groups, func() {
		for _, a := range attrs {
			e.attr(a)
		}
	})
	if !opened {
		return h
	}
	derived := *h
	derived.attrs, derived.open, derived.groups = e.b, h.open+len(h.groups), nil
	return &derived
}

// buffers holds *[]byte for lines. Larger ones than keptBuffer are not kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keptBuffer = 8 << 10

// Handle is for slog.Handler.
func (h *lines) Handle(_ context.Context, r slog.Record) error {
	buffer := buffers.Get().(*[]byte)
	e := encoder{b: append((*buffer)[:0], '{'), client: h.client}
	if !r.Time.IsZero() {
		e.key(slog.TimeKey)
		e.time(r.Time)
	}
	e.key(slog.LevelKey)
	e.string(r.Level.String())
	e.key(slog.MessageKey)
	e.string(r.Message)
	e.b = append(e.b, h.attrs...)
	open := h.open
	if e.inGroups(h.groups, func() {
		r.Attrs(func(a slog.Attr) bool {
			e.attr(a)
			return true
		})
	}) {
		open += len(h.groups)
	}
	for range open {
		e.b = append(e.b, '}')
	}
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
