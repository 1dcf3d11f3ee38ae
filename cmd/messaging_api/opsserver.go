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
	// opsConns is how many connections the operations listener has at once. Beyond
	// it the oldest idle one makes room, so that a probe gets through and none of
	// the public listener's descriptors are taken.
	opsConns = 64
	// opsIdleTimeout is short, because probes and scrapes are seconds apart.
	opsIdleTimeout = 10 * time.Second
)

// An opsServer answers health checks and scrapes.
type opsServer struct {
	server   *http.Server
	listener net.Listener
}

// opsName is the name in --listen-ops, by which probes may ask.
func (o *options) opsName() string {
	name, _, _ := net.SplitHostPort(o.ListenOps)
	return name
}

// newOpsServer returns the server on inner. All its connections count as one
// client's.
func newOpsServer(inner net.Listener, handler http.Handler, errorLog *log.Logger) *opsServer {
	admission := limit.NewListener(inner, new(limit.Resolver), nil, opsConns, 0)
	server := newServer(handler, errorLog)
	server.IdleTimeout = opsIdleTimeout
	server.ConnState = admission.ConnState
	return &opsServer{server, admission}
}

// serve accepts connections until Close; only then does it return nil.
func (o *opsServer) serve() error {
	if err := o.server.Serve(o.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends it at once: a probe asks again.
func (o *opsServer) Close() error { return o.server.Close() }

// eventTakenDown names a takedown in the log and in the metrics.
const eventTakenDown = "taken_down"

// takeDown removes messages for the operator. The log says that one was removed,
// and never which.
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
