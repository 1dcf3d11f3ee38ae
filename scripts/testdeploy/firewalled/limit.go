package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// limit creates messages until the service refuses one, each under other forged
// addresses, and prints how many it was granted.
func limit(ctx context.Context, c *client, stdout io.Writer) error {
	granted := 0
	for ; granted < 1000; granted++ {
		forged := fmt.Sprintf("198.51.100.%d", granted%250)
		a, err := c.send(ctx, c.h2, request{http.MethodPost, "/", [][2]string{
			{"Content-Type", "text/plain"},
			{"X-Forwarded-For", forged},
			{"Forwarded", "for=" + forged},
			{"X-Real-IP", forged},
			{"X-Client-IP", forged},
			{"True-Client-IP", forged},
		}, "hello"})
		if err != nil {
			return err
		}
		if a.status == http.StatusTooManyRequests {
			if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 1 || a.header.Get("RateLimit") == "" {
				return fmt.Errorf("the 429 has the headers %v", a.header)
			}
			_, _ = fmt.Fprintln(stdout, granted)
			return nil
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("got %d %s", a.status, a.body)
		}
	}
	return fmt.Errorf("%d creations were granted", granted)
}
