package main

import (
	"errors"
	"log"
	"net"
	"net/http"
)

// An opsServer answers health checks and scrapes.
type opsServer struct {
	server   *http.Server
	listener net.Listener
}

// newOpsServer returns the server on inner.
func newOpsServer(inner net.Listener, handler http.Handler, troubles *log.Logger) *opsServer {
	return &opsServer{newServer(handler, troubles), inner}
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
