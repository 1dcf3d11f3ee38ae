package main

import (
	"context"
	"log/slog"
	"time"

	"messaging_api/internal/limit"
)

// unforwardedEvery is how often a trusted proxy without X-Forwarded-For is logged.
const unforwardedEvery = time.Minute

// unforwardedLog returns a job that logs, at once and then once a minute, requests of
// trusted proxies that do not say whom they are for. The limits take all clients of such a
// proxy for one.
func unforwardedLog(resolver *limit.Resolver, log *slog.Logger) func(context.Context) {
	return func(ctx context.Context) {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var logged time.Time
		var before uint64
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			count, proxy := resolver.Unforwarded()
			if count == before || time.Since(logged) < unforwardedEvery {
				continue
			}
			log.Warn("a trusted proxy sends no X-Forwarded-For: its clients share one budget",
				"event", "proxy", "count", count-before, "client", proxy)
			logged, before = time.Now(), count
		}
	}
}
