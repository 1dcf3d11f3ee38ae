// Command msg hands over texts by link: it encrypts a text, stores it with a
// messaging_api service and prints the link, and it opens such links. The page
// of the service does the same in a browser. `msg --help` lists its commands.
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
	// Without this, writing to a closed pipe ends the process before it can say
	// that the text can be had again.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx, os.Args[1:], os.Environ(), stdio{os.Stdin, os.Stdout, os.Stderr})
	os.Exit(exitCode(err, os.Stderr))
}

// stdio are the standard streams.
type stdio struct {
	in       *os.File
	out, err *os.File
}

// Exit codes, which scripts may rely on.
const (
	exitOther       = 1
	exitUsage       = 2 // or a link that cannot be read
	exitGone        = 3 // or never there
	exitOpened      = 4 // opened before, taken back or taken down
	exitDamaged     = 5 // or a wrong passphrase
	exitUnreachable = 6 // or busy
	exitLimited     = 7
)

// A failure is an error with its exit code.
type failure struct {
	code int
	error
}

func (f failure) Unwrap() error { return f.error }

func failf(code int, format string, args ...any) error {
	return failure{code, fmt.Errorf(format, args...)}
}

// exitCode says in one line what went wrong, and returns the exit code.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "msg: %v\n", err)
	var f failure
	if errors.As(err, &f) {
		return f.code
	}
	return exitOther
}

// run executes one command line.
func run(ctx context.Context, args, env []string, std stdio) error {
	o, name, operands, err := parse(args, env, std.out)
	if err != nil || o == nil { // nil without an error: help was asked for, and given
		return err
	}
	switch name {
	case "send":
		return o.send(ctx, operands, std)
	case "read":
		return o.read(ctx, operands, std)
	case "status":
		return o.status(ctx, operands, std)
	case "withdraw":
		return o.withdraw(ctx, operands, std)
	case "key":
		return o.key(ctx, operands, std)
	case "completion":
		return completion(operands, std.out)
	default:
		_, err = fmt.Fprintln(std.out, version())
		return err
	}
}

// await runs f, which waits for a person or another program, until it returns or
// the user interrupts it. The process ends soon after an interruption, and f
// with it.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
