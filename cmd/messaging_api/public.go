package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/ops"
	"messaging_api/internal/web"
)

// lingerTime is how long a stop that accepts no more connections answers requests on open
// ones. Each answer says that it is the connection's last. http.Server.Shutdown alone drops
// a request that it reads after its call, and closes idle connections that clients are
// about to use.
const lingerTime = time.Second

// A public server is the one for clients.
type public struct {
	*server

	admission *limit.Listener
	clients   *web.Listener
	draining  atomic.Bool
	requests  atomic.Int64   // under way
	open      sync.WaitGroup // connections
	served    chan struct{}  // closed when Serve has returned: there are no new connections
}

// newPublic returns a server on inner, with TLS unless config is nil.
func newPublic(inner *limit.Listener, config *tls.Config, handler http.Handler, lines web.Log, errorLog *log.Logger, observer web.Observer) *public {
	p := &public{
		admission: inner,
		clients:   web.NewListener(inner, config, handshakeTimeout, lines, observer),
		served:    make(chan struct{}),
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // over TLS only
	p.server = newServer(p.clients, p.count(handler), errorLog)
	p.Protocols = &protocols
	p.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          50,
		MaxReadFrameSize:              16 << 10, // not larger than a stream's buffer
		MaxReceiveBufferPerConnection: 256 << 10,
		MaxReceiveBufferPerStream:     64 << 10,
		SendPingTimeout:               15 * time.Second,
		PingTimeout:                   15 * time.Second,
		WriteByteTimeout:              writeTimeout,
	}
	p.follow(inner, p.clients)
	follow := p.ConnState
	p.ConnState = func(c net.Conn, state http.ConnState) {
		follow(c, state)
		switch state {
		case http.StateNew:
			p.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			p.open.Done()
		case http.StateActive, http.StateIdle:
		}
	}
	return p
}

// count counts the requests under way. While draining it ends each connection
// with its next answer; HTTP/2 turns the field into a GOAWAY.
func (p *public) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		defer p.requests.Add(-1)
		if p.draining.Load() {
			w.Header()["Connection"] = []string{"close"}
		}
		next.ServeHTTP(w, r)
	})
}

// check is the readiness of a server that is not draining.
func (p *public) check() ops.Check {
	return ops.Check{Name: "draining", Run: func(context.Context) (string, error) {
		if p.draining.Load() {
			return "", errors.New("the service is stopping")
		}
		return "", nil
	}}
}

// serve accepts connections until drain, and then returns nil.
func (p *public) serve() error {
	defer close(p.served)
	return p.server.serve()
}

// drain stops accepting and lets handshakes and requests finish until ctx ends. Then it
// closes the connections that are left, and returns how many these were, and how many
// requests without an answer.
func (p *public) drain(ctx context.Context) (requests int64, connections int) {
	p.draining.Store(true)
	_ = p.clients.Close()
	if !p.finish(ctx) {
		requests, connections = p.requests.Load(), p.admission.Open()
	}
	p.clients.Abort() // server.Close waits for the handshakes under way
	_ = p.Close()
	return requests, connections
}

// finish reports whether all connections have ended before ctx.
func (p *public) finish(ctx context.Context) bool {
	if !wait(ctx, p.served) { // until then a handshake can become a connection
		return false
	}
	idle := make(chan struct{})
	go func() { // ends with the last connection, at the latest when drain closes it
		p.open.Wait()
		close(idle)
	}()
	linger, cancel := context.WithTimeout(ctx, lingerTime)
	defer cancel()
	wait(linger, idle)
	return p.Shutdown(ctx) == nil
}

// wait waits for done, or for ctx, and reports whether it was done.
func wait(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
