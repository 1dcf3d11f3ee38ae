// Command testopenapi calls a running service through the client that oapi-codegen
// generates from docs/openapi.yaml. scripts/test-openapi generates the client beside
// this file and runs it.
//
//	testopenapi https://HOST:PORT
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "testopenapi:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, base string) error {
	// The service under test has a self-signed certificate.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // see above
	client, err := NewClientWithResponses(base, WithHTTPClient(&http.Client{Transport: transport, Timeout: 10 * time.Second}))
	if err != nil {
		return err
	}
	return errors.Join(describe(ctx, client), createAndRead(ctx, client), fail(ctx, client))
}

func describe(ctx context.Context, client *ClientWithResponses) error {
	answer, err := client.DescribeWithResponse(ctx)
	if err != nil {
		return err
	}
	if answer.JSON200 == nil || answer.JSON200.Limits.MaxBytes < 1 || answer.Headers200.XRequestId.String() == "" {
		return fmt.Errorf("describe: got %s %s", answer.HTTPResponse.Status, answer.Body)
	}
	return nil
}

func createAndRead(ctx context.Context, client *ClientWithResponses) error {
	const text = "hello from a generated client"
	ttl := TTL(60)
	created, err := client.CreateWithResponse(ctx, nil, CreateJSONRequestBody{Message: text, Ttl: &ttl})
	if err != nil {
		return err
	}
	if created.JSON200 == nil || created.Headers200.Location != created.JSON200.Url {
		return fmt.Errorf("create: got %s %s", created.HTTPResponse.Status, created.Body)
	}
	if left := time.Until(created.JSON200.ExpiresAt); left < 0 || left > time.Minute {
		return fmt.Errorf("create: a message for a minute expires in %v", left)
	}
	read, err := client.ReadWithResponse(ctx, created.JSON200.MessageId.String())
	if err != nil {
		return err
	}
	if read.JSON200 == nil {
		return fmt.Errorf("read: got %s %s", read.HTTPResponse.Status, read.Body)
	}
	if message, err := read.JSON200.AsMessage(); err != nil || message.Message != text {
		return fmt.Errorf("read: got %s, %v", read.Body, err)
	}
	form, err := client.CreateWithFormdataBodyWithResponse(ctx, nil, CreateFormdataRequestBody{Message: text})
	if err != nil {
		return err
	}
	bare, err := client.CreateWithTextBodyWithResponse(ctx, &CreateParams{Ttl: &ttl}, text)
	if err != nil {
		return err
	}
	if form.JSON200 == nil || bare.JSON200 == nil {
		return fmt.Errorf("create: as a form got %s %s, as text %s %s", form.HTTPResponse.Status, form.Body, bare.HTTPResponse.Status, bare.Body)
	}
	return nil
}

// fail gets errors in the form that the document gives them. The service under test
// allows one client three more creations.
func fail(ctx context.Context, client *ClientWithResponses) error {
	unknown, err := client.ReadWithResponse(ctx, "0b9b1f3e-6f0c-4e2b-9a52-3f1d6a8f1f0e")
	if err != nil {
		return err
	}
	if p := unknown.ApplicationproblemJSON404; p == nil || p.Status != http.StatusNotFound || p.Detail == "" {
		return fmt.Errorf("read of an unknown message: got %s %s", unknown.HTTPResponse.Status, unknown.Body)
	}
	empty, err := client.CreateWithResponse(ctx, nil, CreateJSONRequestBody{})
	if err != nil {
		return err
	}
	if empty.ApplicationproblemJSON400 == nil {
		return fmt.Errorf("create without a message: got %s %s", empty.HTTPResponse.Status, empty.Body)
	}
	for range 4 {
		many, err := client.CreateWithResponse(ctx, nil, CreateJSONRequestBody{Message: "x"})
		if err != nil {
			return err
		}
		if many.ApplicationproblemJSON429 != nil {
			if many.Headers429.RetryAfter < 1 {
				return fmt.Errorf("create, too many: the client finds no Retry-After in %v", many.HTTPResponse.Header)
			}
			return nil
		}
	}
	return errors.New("create: the service allows more than its limit")
}
