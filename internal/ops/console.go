package ops

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

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

// Terminal reports whether w is one, so that a person is likely to read it. Other
// character devices, such as the null device, are not.
func Terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
