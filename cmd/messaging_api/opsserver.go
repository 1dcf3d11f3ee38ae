package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/message"
	"messaging_api/internal/ops"
)

const (
	// opsConns is how many connections the operations listener has at once. A new one
	// closes the oldest idle one, so that a probe gets through without a descriptor
	// of the public listener.
	opsConns = 64
	// opsIdleTimeout is short, because probes and scrapes are seconds apart.
	opsIdleTimeout = 10 * time.Second
)

// opsName returns the host in --listen-ops, which probes may use as theirs.
func (o *options) opsName() string {
	name, _, _ := net.SplitHostPort(o.ListenOps)
	return name
}

// newOpsServer returns the server for health checks and scrapes. All its connections count
// as one client's.
func newOpsServer(inner net.Listener, handler http.Handler, errorLog *log.Logger) *server {
	admission := limit.NewListener(inner, new(limit.Resolver), limit.NewTable(limit.Limits{}, 1), opsConns, 0)
	s := newServer(admission, handler, errorLog)
	s.IdleTimeout = opsIdleTimeout
	s.ConnState = admission.ConnState
	return s
}

// eventTakenDown names a takedown in the log and in the metrics.
const eventTakenDown = "taken_down"

// takeDown removes messages for the operator. The log says that one was removed,
// but not which.
func takeDown(messages *message.Box, metrics *ops.Metrics, log *slog.Logger) ops.Remove {
	return func(ctx context.Context, id string) (bool, error) {
		err := messages.TakeDown(ctx, id, time.Now())
		if errors.Is(err, message.ErrNotFound) {
			return false, nil
		}
		if err == nil {
			metrics.Message(eventTakenDown)
			log.InfoContext(ctx, "a message was taken down", "event", eventTakenDown)
		}
		return true, err
	}
}
