package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"messaging_api/internal/logfile"
	"messaging_api/internal/ops"
)

// logName is the current log's file in --log-dir.
const logName = "messaging_api.log"

// openLog returns the logger: JSON lines on stdout and, with --log-dir, in a file a day.
// Errors of the file are logged on stdout. A terminal gets text in place of JSON.
//
// It also returns the queues of lines that wait to be written. They have to be closed in
// their order, also after an error: stdout gets the file's last errors.
func (o *options) openLog(stdout io.Writer) (*slog.Logger, []*logfile.Queue, error) {
	// Without a reader of stdout or stderr, lines are lost, but the service runs: see
	// "SIGPIPE" in package os/signal.
	signal.Ignore(syscall.SIGPIPE)
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return nil, nil, err
	}
	client := ops.ClientForm(o.LogClient)
	queue := logfile.NewStream(stdout)
	out := []*logfile.Queue{queue}
	terminal := ops.Terminal(stdout)
	console := ops.NewLines(queue, level, client)
	if terminal {
		console = ops.NewConsole(queue, level, client)
	}
	if o.LogDir == "" {
		return slog.New(console), out, nil
	}
	file, err := logfile.Open(o.LogDir, logName, o.LogDays, slog.New(console))
	if err != nil {
		return nil, out, startError(fmt.Errorf("--log-dir: %w", err))
	}
	out = []*logfile.Queue{file, queue}
	if terminal {
		return slog.New(slog.NewMultiHandler(console, ops.NewLines(file, level, client))), out, nil
	}
	// Both get the same line, which is encoded once.
	return slog.New(ops.NewLines(io.MultiWriter(queue, file), level, client)), out, nil
}

// logSettings logs the configuration, on a terminal at debug level only, and warns of
// probable mistakes.
func (o *options) logSettings(ctx context.Context, log *slog.Logger, terminal bool) {
	level := slog.LevelInfo
	if terminal {
		level = slog.LevelDebug
	}
	log.LogAttrs(ctx, level, "configuration", o.settings...)
	for _, proxies := range o.TrustedProxy {
		if proxies.Bits() == 0 {
			log.WarnContext(ctx, "every address is a trusted proxy: clients choose their own address, and pass all limits",
				"event", "configuration", "trusted-proxy", proxies.String())
		}
	}
}
