package main

import (
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"messaging_api/internal/limit"
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
