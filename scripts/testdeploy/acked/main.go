// Command acked holds a running service to its word: it writes messages until
// it is told to stop, keeps a journal of those that were answered with 200, and
// later reads every one of them back. In between, scripts/test-deploy breaks
// things.
//
//	acked [flags] write   until SIGTERM or SIGINT, or -for has passed
//	acked [flags] read    once; fails if any message of the journal is not there
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "acked:", err)
		os.Exit(1) //nolint:forbidigo // the one place
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	flags := flag.NewFlagSet("acked", flag.ContinueOnError)
	base := flags.String("url", "https://localhost", "the service, without a path")
	caFile := flags.String("ca", "", "PEM file of who signed its certificate")
	journal := flags.String("journal", "", "file of what was acknowledged; write adds to it")
	workers := flags.Int("workers", 4, "how many write at once, every second over connections that are used once")
	interval := flags.Duration("interval", 10*time.Millisecond, "how long each rests after a request")
	duration := flags.Duration("for", 5*time.Minute, "how long to write at most")
	forbid := flags.String("forbid", "", "outcomes that make write fail, of refused, dropped, rejected, with commas between")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pem, err := os.ReadFile(*caFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %s", *caFile)
	}
	target := target{strings.TrimSuffix(*base, "/"), roots}

	switch flags.Arg(0) {
	case "write":
		ctx, cancel := context.WithTimeout(ctx, *duration)
		defer cancel()
		tally, err := write(ctx, target, *journal, *workers, *interval)
		_, _ = fmt.Fprintln(stdout, tally)
		return errors.Join(err, tally.check(strings.Split(*forbid, ",")))
	case "read":
		n, err := read(ctx, target, *journal)
		_, _ = fmt.Fprintf(stdout, "read %d\n", n)
		return err
	}
	return errors.New("write or read?")
}
