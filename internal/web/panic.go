package web

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
)

// recovered logs a panic and answers it with a 500. If an answer had begun already,
// it reports true: only the end of the connection tells the client that the answer
// is broken.
func (x *Exchange) recovered(log Log, r *http.Request, v any) (abort bool) {
	if v == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		return true
	}
	log.LogAttrs(r.Context(), slog.LevelError, "panic in a handler", slog.String("event", "panic"),
		slog.String("request_id", x.requestID), panicValue(v), panicStack())
	if x.status != 0 {
		return true
	}
	x.refuse(r, errInternal)
	return false
}

// panicValue shows the value of a panic only if the runtime made it. Any other
// value may hold a text or an id.
func panicValue(v any) slog.Attr {
	what := "a value that is not shown"
	var fault runtime.Error
	if err, ok := v.(error); ok && errors.As(err, &fault) {
		what = fault.Error()
	}
	return slog.String("panic", what)
}

// panicStack names the functions and lines that led to the panic, without
// arguments: they may hold a text or an id.
func panicStack() slog.Attr {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var stack []string
	for {
		frame, more := frames.Next()
		stack = append(stack, frame.Function+":"+strconv.Itoa(frame.Line))
		if frame.Function == "runtime.gopanic" {
			stack = nil // the frames so far are the recovery's
		}
		if !more {
			return slog.Any("stack", stack)
		}
	}
}
