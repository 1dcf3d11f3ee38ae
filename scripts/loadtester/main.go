// Command loadtester holds a running service to the limits that it states: it
// offers more than they allow, from many client addresses, over TLS and HTTP/2,
// and checks what is accepted, how the rest is refused, that waiting as told is
// enough, and that one client's flood does not slow others down.
//
//	loadtester [flags] https://HOST:PORT/
//
// It creates some hundred short-lived messages and leaves the buckets of the
// addresses that it used empty. It takes about twice --time and half a minute.
// Exit code 1: the service does not keep to its limits. 2: nothing was tested.
//
// It is a module of its own because nothing else needs what it depends on.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	code := 0
	switch {
	case errors.Is(err, errViolation):
		code = 1
	case err != nil:
		code = 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadtester:", err)
	}
	os.Exit(code) //nolint:forbidigo // the one place
}

// errViolation is why the exit code is 1.
var errViolation = errors.New("the service does not keep to its limits")

type options struct {
	target    *url.URL
	from      netip.Prefix
	ca        string
	insecure  bool
	elsewhere bool
	time      time.Duration
	most      int
	plot      string
}

// parse reads the command line. Bounds keep a mistyped number from becoming an
// attack.
func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("loadtester [flags] https://HOST:PORT/", flag.ContinueOnError)
	flags.SetOutput(stderr)
	from := flags.String("from", "127.0.0.0/8", "`prefix` of this machine that clients' addresses are drawn from")
	flags.StringVar(&o.ca, "ca", "", "PEM `file` that signs the service's certificate; the system's roots without it")
	flags.BoolVar(&o.insecure, "insecure", false, "take any certificate")
	flags.BoolVar(&o.elsewhere, "elsewhere", false, "allow a target that is not on loopback: a service of your own")
	flags.DurationVar(&o.time, "time", 30*time.Second, "how long each of the two loads lasts, 10s to 5m")
	flags.IntVar(&o.most, "most", 30_000, "requests to offer at most, 1 to 1000000")
	flags.StringVar(&o.plot, "plot", "", "`file` for the plot of accepted and refused over time, SVG")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 {
		return o, errors.New("want one URL; --help shows the flags")
	}
	if o.target, err = url.Parse(flags.Arg(0)); err != nil {
		return o, err
	}
	if o.from, err = netip.ParsePrefix(*from); err != nil {
		return o, fmt.Errorf("--from: %w", err)
	}
	switch {
	case !o.from.Addr().Is4() || o.from.Bits() > 27:
		return o, fmt.Errorf("--from %v: must be an IPv4 prefix of at most 27 bits, which has an address for each client", o.from)
	case o.target.Scheme != "https" || o.target.Path != "/":
		return o, fmt.Errorf("%s: must be https://HOST:PORT/", o.target)
	case !o.elsewhere && !isLoopback(o.target.Hostname()):
		return o, fmt.Errorf("%s: is not a loopback address; --elsewhere allows it, for a service of your own", o.target)
	case o.time < 10*time.Second || o.time > 5*time.Minute:
		return o, fmt.Errorf("--time %v: must be from 10s to 5m", o.time)
	case o.most < 1 || o.most > 1_000_000:
		return o, fmt.Errorf("--most %d: must be from 1 to 1000000", o.most)
	}
	return o, nil
}

// isLoopback holds for addresses only: a name may lead anywhere.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func (o options) tls() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: o.insecure} //nolint:gosec // the operator says so
	if o.ca == "" {
		return config, nil
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca %s: holds no PEM certificate", o.ca)
	}
	return config, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	config, err := o.tls()
	if err != nil {
		return err
	}
	t := &test{options: o, clients: newClients(o.from, config)}
	if err := t.probe(); err != nil {
		return err
	}
	if err := t.plan(); err != nil {
		return err
	}
	report := newReport(stdout)
	t.exact(report)
	t.obey(ctx, report)
	t.neighbours(ctx, report)
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	if o.plot != "" {
		if err := plotSteady(o.plot, t.flows); err != nil {
			return fmt.Errorf("--plot: %w", err)
		}
	}
	return report.verdict()
}
