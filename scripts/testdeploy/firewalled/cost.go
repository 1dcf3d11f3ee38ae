package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

// samples of each kind of request: few, because the firewall bounds what one client asks.
const samples = 300

// cost sends requests in turn through the firewall and directly to the service, over
// one kept connection each, and prints the medians.
func cost(ctx context.Context, c *client, direct string, stdout io.Writer) error {
	if direct == "" {
		return errors.New("cost needs -direct")
	}
	behind := &http.Client{Transport: &http.Transport{
		// Plain HTTP, though the URL says https.
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, direct)
		},
	}}
	body := fmt.Sprintf(`{"message": "%01000d"}`, 0)
	m, err := create(ctx, c, c.h1, [][2]string{{"Content-Type", "application/json"}}, body)
	if err != nil {
		return err
	}
	for _, q := range []request{
		{http.MethodPost, "/", [][2]string{{"Content-Type", "application/json"}}, body},
		{http.MethodGet, "/msg/" + m.ID, nil, ""},
	} {
		var times [2][]time.Duration // with and without
		for range samples {
			for i, over := range []*http.Client{c.h1, behind} {
				took, err := c.timed(ctx, over, q)
				if err != nil {
					return err
				}
				times[i] = append(times[i], took)
			}
		}
		slices.Sort(times[0])
		slices.Sort(times[1])
		_, _ = fmt.Fprintf(stdout, "%s: %v with the firewall, %v without (medians of %d)\n", q.method,
			times[0][samples/2].Round(10*time.Microsecond), times[1][samples/2].Round(10*time.Microsecond), samples)
	}
	return nil
}

// timed returns the time of a request. The answer has to be a 200.
func (c *client) timed(ctx context.Context, over *http.Client, q request) (time.Duration, error) {
	for {
		begun := time.Now()
		a, err := c.sendOnce(ctx, over, q)
		took := time.Since(begun)
		switch {
		case err != nil:
			return 0, err
		case a.status == http.StatusOK:
			return took, nil
		case !tooSoon(a):
			return 0, fmt.Errorf("%s got %d %s", q.method, a.status, a.body)
		}
		if err := wait(ctx); err != nil {
			return 0, err
		}
	}
}
