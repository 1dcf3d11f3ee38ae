package ops

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// NewConsole returns a handler for a person at a terminal: the time of day, the level,
// what happened, and the rest as the standard library writes text. What NewLines
// does for addresses, user agents and control characters it does too.
func NewConsole(w io.Writer, level slog.Leveler, client ClientForm) slog.Handler {
	s := &screen{w: w}
	text := slog.NewTextHandler(&s.line, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && written(a) {
				return slog.Attr{}
			}
			return client.clean(groups, a)
		},
	})
	return console{s, text}
}

// Terminal reports whether w is one, so that a person is likely to read it.
func Terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	// Being a character device is not enough: the null device is one too.
	return term.IsTerminal(int(file.Fd()))
}

// The level and message of a record whose own have been written already, and the attributes
// that the text handler makes of them.
const (
	levelWritten   slog.Level = math.MaxInt
	messageWritten            = ""
)

func written(a slog.Attr) bool {
	return a.Equal(slog.Any(slog.LevelKey, levelWritten)) || a.Equal(slog.String(slog.MessageKey, messageWritten))
}

// A screen is shared by a handler and all that derive from it.
type screen struct {
	mu   sync.Mutex // guards what follows
	line bytes.Buffer
	w    io.Writer
}

// console puts what is common to all lines in front of what text writes.
type console struct {
	*screen
	text slog.Handler // writes to line
}

// Enabled is for slog.Handler.
func (c console) Enabled(ctx context.Context, level slog.Level) bool {
	return c.text.Enabled(ctx, level)
}

// WithAttrs is for slog.Handler.
func (c console) WithAttrs(attrs []slog.Attr) slog.Handler {
	return console{c.screen, c.text.WithAttrs(attrs)}
}

// WithGroup is for slog.Handler.
func (c console) WithGroup(name string) slog.Handler {
	return console{c.screen, c.text.WithGroup(name)}
}

// Handle is for slog.Handler.
func (c console) Handle(ctx context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line.Reset()
	if !r.Time.IsZero() {
		c.line.WriteString(r.Time.Format("15:04:05.000 "))
	}
	fmt.Fprintf(&c.line, "%-5s %s ", r.Level, appendASCII(nil, r.Message, false))
	rest := slog.NewRecord(time.Time{}, levelWritten, messageWritten, 0)
	r.Attrs(func(a slog.Attr) bool {
		rest.AddAttrs(a)
		return true
	})
	if err := c.text.Handle(ctx, rest); err != nil {
		return err
	}
	_, err := c.w.Write(c.line.Bytes())
	return err
}
