package main

import (
	"fmt"
	"io"
	"log/slog"

	"messaging_api/internal/limit"
	"messaging_api/internal/logfile"
	"messaging_api/internal/ops"
	"messaging_api/internal/web"
)

// logName is the current log's file in --log-dir.
const logName = "messaging_api.log"

// A logOutput is what there is to the log besides stdout.
type logOutput struct{ file *logfile.File } // nil: nothing

// openLog returns the logger: JSON lines on stdout and, with --log-dir, in a
// file a day. What goes wrong with the file is said on stdout. A terminal gets
// lines for people in place of JSON.
func (o *options) openLog(stdout io.Writer) (*slog.Logger, logOutput, error) {
	people := ops.Terminal(stdout)
	console := ops.NewLines(stdout, o.LogLevel, o.clientForm())
	if people {
		console = ops.NewConsole(stdout, o.LogLevel, o.clientForm())
	}
	if o.LogDir == "" {
		return slog.New(console), logOutput{}, nil
	}
	file, err := logfile.Open(logfile.Config{
		Dir: o.LogDir, Name: logName, Days: o.LogDays, Report: logfile.LogTo(slog.New(console)),
	})
	if err != nil {
		return nil, logOutput{}, usageError{fmt.Errorf("--log-dir: %w", err)}
	}
	if people {
		return slog.New(slog.NewMultiHandler(console, ops.NewLines(file, o.LogLevel, o.clientForm()))), logOutput{file}, nil
	}
	// One line made for both costs half of two.
	return slog.New(ops.NewLines(logfile.Tee(stdout, file), o.LogLevel, o.clientForm())), logOutput{file}, nil
}

// clientForm is how much of a client's address --log-client lets lines show.
func (o *options) clientForm() ops.ClientForm {
	switch o.LogClient {
	case "whole":
		return ops.ClientWhole
	case "none":
		return ops.ClientNone
	default:
		return ops.ClientPrefix
	}
}

// requestLog is log as package web wants it.
func (o *options) requestLog(log *slog.Logger, resolver *limit.Resolver) web.Log {
	if o.LogClient == "none" {
		return web.Log{Logger: log} // there is nothing to find out
	}
	return web.Log{Logger: log, Client: resolver.Sender}
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
