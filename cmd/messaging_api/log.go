package main

import (
	"fmt"
	"io"
	"log/slog"

	"messaging_api/internal/logfile"
)

// logName is the current log's file in --log-dir.
const logName = "messaging_api.log"

// A logOutput is what there is to the log besides stdout.
type logOutput struct{ file *logfile.File } // nil: nothing

// openLog returns the logger: JSON lines on stdout and, with --log-dir, in a
// file a day. What goes wrong with the file is said on stdout.
func (o *options) openLog(stdout io.Writer) (*slog.Logger, logOutput, error) {
	format := &slog.HandlerOptions{Level: o.LogLevel}
	console := slog.New(slog.NewJSONHandler(stdout, format))
	if o.LogDir == "" {
		return console, logOutput{}, nil
	}
	file, err := logfile.Open(logfile.Config{
		Dir: o.LogDir, Name: logName, Days: o.LogDays, Report: logfile.LogTo(console),
	})
	if err != nil {
		return nil, logOutput{}, usageError{fmt.Errorf("--log-dir: %w", err)}
	}
	return slog.New(slog.NewJSONHandler(logfile.Tee(stdout, file), format)), logOutput{file}, nil
}

// Reopen turns to the file that now has the log's name.
func (l logOutput) Reopen() {
	if l.file != nil {
		l.file.Reopen()
	}
}

// Lost returns how many lines did not reach the file.
func (l logOutput) Lost() uint64 {
	if l.file == nil {
		return 0
	}
	return l.file.Lost()
}

// Close writes what waits.
func (l logOutput) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
