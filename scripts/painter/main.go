// Command painter draws a Grafana dashboard without Grafana: it puts a load on
// services, then asks a Prometheus that scrapes them each query of the dashboard's
// file, and draws every panel in its place.
//
//	painter [flags] https://ADDRESS:PORT/...
//
// Exit code 1: a query fails, or finds nothing. 2: anything else is wrong. Only with 0
// is there a picture.
//
// It is a module of its own because nothing else needs what it depends on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	code := 0
	switch {
	case errors.Is(err, errNoData):
		code = 1
	case err != nil:
		code = 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "painter:", err)
	}
	os.Exit(code) //nolint:forbidigo // the one place
}

// errNoData is why the exit code is 1.
var errNoData = errors.New("the dashboard shows less than it should")

func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("painter [flags] https://ADDRESS:PORT/...", flag.ContinueOnError)
	flags.SetOutput(stderr)
	board := flags.String("dashboard", "deploy/grafana/dashboards/messaging_api.json", "Grafana's `file` of the dashboard")
	address := flags.String("prometheus", "http://127.0.0.1:9090", "the `URL` of the Prometheus that scrapes the services")
	scrape := flags.Duration("scrape", time.Second, "how often it does, 1s to 1m")
	length := flags.Duration("time", 30*time.Second, "how long the load lasts, 10s to 5m")
	out := flags.String("out", "dashboard.png", "`file` for the picture, PNG")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case flags.NArg() == 0:
		return errors.New("want the URL of a service; --help shows the flags")
	case *scrape < time.Second || *scrape > time.Minute:
		return fmt.Errorf("--scrape %v: must be from 1s to 1m", *scrape)
	case *length < 10*time.Second || *length > 5*time.Minute:
		return fmt.Errorf("--time %v: must be from 10s to 5m", *length)
	}
	bases, err := services(flags.Args())
	if err != nil {
		return err
	}
	d, err := readDashboard(*board)
	if err != nil {
		return err
	}
	prometheus, err := newSource(*address, *scrape)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := loadAll(ctx, bases, *length); err != nil {
		return err
	}
	// The last scrape is of what came before it.
	if err := prometheus.fill(ctx, d, start, time.Now().Add(-*scrape)); err != nil {
		return err
	}
	return paint(*out, d, *scrape)
}

// services reads all URLs before anything is asked of the first.
func services(urls []string) (all []*url.URL, err error) {
	for _, one := range urls {
		u, err := url.Parse(one)
		if err != nil {
			return nil, err
		}
		if u.Scheme != "https" || u.Port() == "" {
			return nil, fmt.Errorf("%s: must be https://ADDRESS:PORT/", one)
		}
		all = append(all, u)
	}
	return all, nil
}
