// Command messaging_api serves messages by link over HTTPS: a client posts a
// text and gets a link that cannot be guessed. Anyone with the link can read the
// text until it expires. `messaging_api --help` lists its flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"messaging_api/internal/logfile"
	"messaging_api/internal/tlscert"
)

func main() {
	hangups := make(chan os.Signal, 1) // first of all, because a SIGHUP must never end the process
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal drains; a second one ends the process at once
	err := run(ctx, hangups, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	os.Exit(exitCode(err, os.Stderr))
}

// run executes one command line and returns why it failed.
func run(ctx context.Context, hangups <-chan os.Signal, args, env []string, stdout, stderr io.Writer) error {
	o, command, err := parse(args, env, stdout)
	if err != nil || o == nil { // nil without an error: parse has printed the help
		return err
	}
	switch command {
	case "health":
		return health(ctx, o)
	case "check":
		return check(ctx, o, stdout)
	case "backup":
		return backup(ctx, o, o.operand)
	case "takedown":
		return takedown(ctx, o, o.operand)
	case "version":
		version, _ := build()
		_, err = fmt.Fprintln(stdout, version)
		return err
	default:
		return serve(ctx, o, hangups, stdout, stderr)
	}
}

// A usageError is an error in the configuration, which only the operator can correct. A
// later retry can succeed after any other error.
type usageError struct{ error }

// startError returns an error of the start as it is if a retry can succeed, otherwise as a
// usageError.
func startError(err error) error {
	for _, temporary := range []error{
		tlscert.ErrNotValidNow, logfile.ErrInUse,
		syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, // another process has the port; the network is not up yet
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	} {
		if errors.Is(err, temporary) {
			return err
		}
	}
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) { // a name in --listen
		return err
	}
	return usageError{err}
}

// exitCode prints what went wrong in one line and returns the exit code: 0, 1 for
// a failure, or 2 for bad configuration.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "messaging_api: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		return 2
	}
	return 1
}
