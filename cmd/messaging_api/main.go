// Command messaging_api serves messages by link over HTTPS: someone posts a
// text, gets a link that cannot be guessed, and whoever has the link can read
// the text until it expires. `messaging_api --help` lists its flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal drains; a second one ends the process at once
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	os.Exit(exitCode(err, os.Stderr))
}

// run executes one command line and returns why it failed.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	o, command, err := parse(args, env, stdout)
	if err != nil || o == nil { // nil without an error: help was asked for, and given
		return err
	}
	switch command {
	case "health":
		return health(ctx, o)
	case "check":
		return check(o, stdout)
	case "version":
		_, err = fmt.Fprintln(stdout, version())
		return err
	default:
		return serve(ctx, o, stdout, stderr)
	}
}

// A usageError is a fault of whoever wrote the command line or the environment.
type usageError struct{ error }

// exitCode says in one line what went wrong, and returns 0, 1 for a failure or
// 2 for bad configuration.
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
