// Command h2spec runs the conformance tests of h2spec against an HTTPS server on
// this machine and fails where a bare net/http server, which it runs itself on
// the same certificate, does not fail as well:
//
//	go run . PORT CERT KEY
//
// It is a module of its own because nothing else needs what it depends on.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "h2spec:", err)
		os.Exit(1) //nolint:forbidigo // the one place
	}
}

func run(args []string, stdout io.Writer) error {
	if len(args) != 3 {
		return errors.New("usage: h2spec PORT CERT KEY")
	}
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	bare := &http.Server{
		Handler:           http.HandlerFunc(hello),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // it tells of each error that a test makes
	}
	served := make(chan error, 1)
	go func() { served <- bare.ServeTLS(listener, args[1], args[2]) }()
	failed, err := compare(target(port), target(listener.Addr().(*net.TCPAddr).Port), stdout)
	err = errors.Join(err, bare.Close())
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d tests fail that a bare net/http server passes", failed)
	}
	return err
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") }

// target is a server on this machine as h2spec knows it.
func target(port int) *config.Config {
	return &config.Config{
		Host: "localhost", Port: port, Path: "/", Timeout: time.Second, MaxHeaderLen: 4000,
		TLS: true, Insecure: true, // other tests judge the certificate
	}
}

// A test is one of h2spec's.
type test struct {
	id   string // as h2spec's command takes it
	spec *spec.TestCase
}

func tests(g *spec.TestGroup) []test {
	var all []test
	for i, tc := range g.Tests {
		all = append(all, test{fmt.Sprintf("%s/%d", g.ID(), i+1), tc})
	}
	for _, sub := range g.Groups {
		all = append(all, tests(sub)...)
	}
	return all
}

// compare runs every test against ours, and those that fail against bare too. It
// returns how many fail against ours alone.
func compare(ours, bare *config.Config, stdout io.Writer) (int, error) {
	passed, both, failed := 0, 0, 0
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		for _, t := range tests(group) {
			failure, err := t.run(ours)
			if err != nil {
				return 0, err
			}
			if failure == nil {
				passed++
				continue
			}
			alone, err := t.failsAlone(ours, bare)
			if err != nil {
				return 0, err
			}
			if !alone {
				both++
				continue
			}
			failed++
			_, _ = fmt.Fprintf(stdout, "%s: %s\n  %s\n  %v\n", t.id, t.spec.Desc, t.spec.Requirement, failure)
		}
	}
	_, err := fmt.Fprintf(stdout, "h2spec: %d tests passed, %d are no worse than with a bare net/http server, %d failed\n", passed, both, failed)
	return failed, err
}

// failsAlone reports whether ours fails the test and bare passes it, every time.
// Some tests race with the server's answer: against either they fail now and
// then, which says nothing.
func (t test) failsAlone(ours, bare *config.Config) (bool, error) {
	for range 10 {
		failure, err := t.run(bare)
		if err != nil || failure != nil {
			return false, err
		}
		if failure, err = t.run(ours); err != nil || failure == nil {
			return false, err
		}
	}
	return true, nil
}

// run returns how the server fails the test, nil if it passes, and apart from
// that an error if it cannot be asked.
func (t test) run(c *config.Config) (failure, err error) {
	conn, err := spec.Dial(c)
	if err != nil {
		return nil, fmt.Errorf("test %s, port %d: %w", t.id, c.Port, err)
	}
	failure = t.spec.Run(c, conn)
	_ = conn.Close() // the server may have done that
	if errors.Is(failure, spec.ErrSkipped) {
		failure = nil
	}
	return failure, nil
}
