package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os/signal"
	"syscall"

	"messaging_api/internal/limit"
	"messaging_api/internal/logfile"
	"messaging_api/internal/ops"
	"messaging_api/internal/web"
)

// logName is the current log's file in --log-dir.
const logName = "messaging_api.log"

// A logOutput is the queues of lines that wait to be written.
type logOutput struct {
	stdout *logfile.Queue
	file   *logfile.Queue // nil without --log-dir
}

// openLog returns the logger: JSON lines on stdout and, with --log-dir, in a
// file a day. Errors of the file are logged on stdout. A terminal gets lines for
// people in place of JSON. The queues have to be closed, also after an error.
func (o *options) openLog(stdout io.Writer) (*slog.Logger, logOutput, error) {
	// A reader of stdout or stderr that goes away costs lines and not the service: see
	// "SIGPIPE" in package os/signal.
	signal.Ignore(syscall.SIGPIPE)
	out := logOutput{stdout: logfile.NewStream(stdout)}
	people := ops.Terminal(stdout)
	console := ops.NewLines(out.stdout, o.LogLevel, o.clientForm())
	if people {
		console = ops.NewConsole(out.stdout, o.LogLevel, o.clientForm())
	}
	if o.LogDir == "" {
		return slog.New(console), out, nil
	}
	file, err := logfile.Open(logfile.Config{
		Dir: o.LogDir, Name: logName, Days: o.LogDays, Log: slog.New(console),
	})
	if err != nil {
		return nil, out, startError(fmt.Errorf("--log-dir: %w", err))
	}
	out.file = file
	if people {
		return slog.New(slog.NewMultiHandler(console, ops.NewLines(file, o.LogLevel, o.clientForm()))), out, nil
	}
	// One line made for both costs half of two.
	return slog.New(ops.NewLines(io.MultiWriter(out.stdout, file), o.LogLevel, o.clientForm())), out, nil
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
func requestLog(log *slog.Logger, resolver *limit.Resolver, floods *floodLog) web.Log {
	return web.Log{Logger: log, Sender: resolver.Sender, Suppress: func(sender netip.Addr, status int, by string) bool {
		return floods.suppress(resolver.Of(sender), status, by)
	}}
}

// Lost returns how many lines did not reach the file, or stdout.
func (l logOutput) Lost() uint64 {
	lost := l.stdout.Lost()
	if l.file != nil {
		lost += l.file.Lost()
	}
	return lost
}

// Close writes what waits: to the file first, because its last errors go to stdout.
func (l logOutput) Close() error {
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	return errors.Join(err, l.stdout.Close())
}
