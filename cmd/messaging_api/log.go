package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"messaging_api/internal/limit"
	"messaging_api/internal/logfile"
	"messaging_api/internal/ops"
	"messaging_api/internal/web"
)

// logName is the current log's file in --log-dir.
const logName = "messaging_api.log"

// A logOutput is where the log's lines wait to be written. A nil part is not in use.
type logOutput struct {
	stdout *logfile.Output
	file   *logfile.File
}

// openLog returns the logger: JSON lines on stdout and, with --log-dir, in a
// file a day. What goes wrong with the file is said on stdout. A terminal gets
// lines for people in place of JSON.
func (o *options) openLog(stdout io.Writer) (*slog.Logger, logOutput, error) {
	var out logOutput
	var console slog.Handler
	people := ops.Terminal(stdout)
	if people {
		console = ops.NewConsole(stdout, o.LogLevel, o.clientForm())
	} else {
		out.stdout = logfile.NewOutput(stdout)
		console = ops.NewLines(out.stdout, o.LogLevel, o.clientForm())
	}
	if o.LogDir == "" {
		return slog.New(console), out, nil
	}
	file, err := logfile.Open(logfile.Config{
		Dir: o.LogDir, Name: logName, Days: o.LogDays, Report: logfile.LogTo(slog.New(console)),
	})
	if err != nil {
		return nil, logOutput{}, errors.Join(usageError{fmt.Errorf("--log-dir: %w", err)}, out.Close())
	}
	out.file = file
	if people {
		return slog.New(slog.NewMultiHandler(console, ops.NewLines(file, o.LogLevel, o.clientForm()))), out, nil
	}
	// One line made for both costs half of two.
	return slog.New(ops.NewLines(logfile.Tee(out.stdout, file), o.LogLevel, o.clientForm())), out, nil
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
func requestLog(log *slog.Logger, resolver *limit.Resolver, digest *digest) web.Log {
	return web.Log{Logger: log, Sender: resolver.Sender, Spare: func(sender netip.Addr, status int, by string) bool {
		return digest.spare(resolver.Of(sender), status, by)
	}}
}

// Reopen turns to the file that now has the log's name.
func (l logOutput) Reopen() {
	if l.file != nil {
		l.file.Reopen()
	}
}

// Lost returns how many lines did not reach the file, or stdout.
func (l logOutput) Lost() (lost uint64) {
	if l.stdout != nil {
		lost += l.stdout.Lost()
	}
	if l.file != nil {
		lost += l.file.Lost()
	}
	return lost
}

// Close writes what waits: to the file first, which may have something to say of
// itself on stdout.
func (l logOutput) Close() error {
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	if l.stdout != nil {
		err = errors.Join(err, l.stdout.Close())
	}
	return err
}
