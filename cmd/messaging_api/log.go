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

// A logOutput is the queues of lines that wait to be written: to the file, if there is one,
// and then to stdout, which gets the file's last errors.
type logOutput []*logfile.Queue

// openLog returns the logger: JSON lines on stdout and, with --log-dir, in a file a day.
// Errors of the file are logged on stdout. A terminal gets text in place of JSON. The
// queues have to be closed, also after an error.
func (o *options) openLog(stdout io.Writer) (*slog.Logger, logOutput, error) {
	// Without a reader of stdout or stderr, lines are lost, but the service runs: see
	// "SIGPIPE" in package os/signal.
	signal.Ignore(syscall.SIGPIPE)
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return nil, nil, err
	}
	client := ops.ClientForm(o.LogClient)
	queue := logfile.NewStream(stdout)
	out := logOutput{queue}
	terminal := ops.Terminal(stdout)
	console := ops.NewLines(queue, level, client)
	if terminal {
		console = ops.NewConsole(queue, level, client)
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
	out = logOutput{file, queue}
	if terminal {
		return slog.New(slog.NewMultiHandler(console, ops.NewLines(file, level, client))), out, nil
	}
	// Both get the same line, which is encoded once.
	return slog.New(ops.NewLines(io.MultiWriter(queue, file), level, client)), out, nil
}

// requestLog returns log in the form that package web needs.
func requestLog(log *slog.Logger, resolver *limit.Resolver, floods *floodLog) web.Log {
	return web.Log{Logger: log, Sender: resolver.Sender, Suppress: func(sender netip.Addr, status int, by string) bool {
		return floods.suppress(resolver.Of(sender), status, by)
	}}
}

// Lost returns how many lines were not written.
func (l logOutput) Lost() (lost uint64) {
	for _, queue := range l {
		lost += queue.Lost()
	}
	return lost
}

// Close writes the lines that wait.
func (l logOutput) Close() (err error) {
	for _, queue := range l {
		err = errors.Join(err, queue.Close())
	}
	return err
}
