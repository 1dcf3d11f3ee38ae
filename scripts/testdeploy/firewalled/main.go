// Command firewalled tests, as clients of a running service, that the firewall of
// deploy/docker-compose.firewall.yml does what docs/OPERATIONS.md says.
//
//	firewalled [flags] honest     messages and clients that have to pass unchanged
//	firewalled [flags] attacks    requests that the firewall has to refuse itself
//	firewalled [flags] answers    the firewall's own answers: form and headers
//	firewalled [flags] limit      how many creations one client is granted
//	firewalled [flags] cost       the time of a request with and without the firewall
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "firewalled:", err)
		os.Exit(1) //nolint:forbidigo // the one place
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("firewalled", flag.ContinueOnError)
	caFile := flags.String("ca", "", "PEM file of who signed the firewall's certificate")
	address := flags.String("address", "localhost:443", "HOST:PORT of the firewall")
	plain := flags.String("plain", "localhost:80", "HOST:PORT of the firewall's plain HTTP")
	direct := flags.String("direct", "", "HOST:PORT of the service behind the firewall, for cost")
	secrets := flags.String("secrets", "", "file that gets every text, id and token that was sent, a line each")
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
	c := newClient(*address, roots)

	switch flags.Arg(0) {
	case "honest":
		return honest(ctx, c, *secrets, stdout)
	case "attacks":
		return attacks(ctx, c, stdout)
	case "answers":
		return answers(ctx, c, *plain, stdout)
	case "limit":
		return limit(ctx, c, stdout)
	case "cost":
		return cost(ctx, c, *direct, stdout)
	}
	return errors.New("honest, attacks, answers, limit or cost?")
}
