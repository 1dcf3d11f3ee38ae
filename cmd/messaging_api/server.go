package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/ops"
	"messaging_api/internal/tlscert"
	"messaging_api/internal/web"
)

// The bounds of connections and requests.
const (
	handshakeTimeout  = 5 * time.Second
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = time.Minute
	maxHeaderBytes    = 16 << 10
	inFlightWait      = 200 * time.Millisecond // for a slot among the requests in flight

	// opsConns is how many connections the operations listener has at once. A new one
	// closes the oldest idle one, so that a probe gets through without a descriptor
	// of the public listener.
	opsConns = 64
	// opsIdleTimeout is short, because probes and scrapes are seconds apart.
	opsIdleTimeout = 10 * time.Second

	// lingerTime is how long a stop that accepts no more connections answers requests on
	// open ones. Each answer says that it is the connection's last. http.Server.Shutdown
	// alone drops a request that it reads after its call, and closes idle connections that
	// clients are about to use.
	lingerTime = time.Second
	lingerPoll = 10 * time.Millisecond // between two looks at whether all have ended
)

// A server is an http.Server and the listener that it accepts from.
type server struct {
	*http.Server

	listener net.Listener
}

// newServer returns a server in which no wait and no size is without a bound.
func newServer(listener net.Listener, handler http.Handler, errorLog *log.Logger) *server {
	return &server{listener: listener, Server: &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" goes through the handler like anything else
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     errorLog,
	}}
}

// serve accepts connections until the server or its listener is closed, and then returns
// nil.
func (s *server) serve() error {
	err := s.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// follow tells both listeners what becomes of the server's connections.
func (s *server) follow(admission *limit.Listener, listener *web.Listener) {
	s.ConnContext = listener.ConnContext
	s.ConnState = func(c net.Conn, state http.ConnState) {
		admission.ConnState(c, state)
		listener.ConnState(c, state)
	}
}

// newPlain returns the server for plain HTTP, or nil if it is off. It answers ACME
// challenges and redirects to https. Nothing of the application is reachable there.
func (o *options) newPlain(admission *limit.Listener, source certificateSource, lines web.Log, errorLog *log.Logger, observer web.Observer, load *web.InFlight) *server {
	if admission == nil {
		return nil
	}
	handler := web.Redirect(o.Host, o.PublicURL)
	if acme, ok := source.(*tlscert.ACME); ok {
		handler = acme.HTTPHandler(handler)
	}
	listener := web.NewPlainListener(admission, lines, observer)
	s := newServer(listener, web.ServePlain(lines, observer, load, handler), errorLog)
	s.follow(admission, listener)
	return s
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

// A public server is the one for clients.
type public struct {
	*server

	admission *limit.Listener
	clients   *web.Listener
	draining  atomic.Bool
	requests  atomic.Int64  // under way
	served    chan struct{} // closed when serve has returned: there are no new connections
}

// newPublic returns a server on inner, with TLS unless config is nil.
func newPublic(inner *limit.Listener, config *tls.Config, handler http.Handler, lines web.Log, errorLog *log.Logger, observer web.Observer) *public {
	p := &public{
		admission: inner,
		clients:   web.NewListener(inner, config, handshakeTimeout, lines, observer),
		served:    make(chan struct{}),
	}
	p.server = newServer(p.clients, p.count(handler), errorLog)
	p.Protocols = new(http.Protocols)
	p.Protocols.SetHTTP1(true)
	p.Protocols.SetHTTP2(true) // over TLS only
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
	select {
	case <-p.served: // until then a handshake can become a connection
	case <-ctx.Done():
		return false
	}
	linger, cancel := context.WithTimeout(ctx, lingerTime)
	defer cancel()
	for p.admission.Open() > 0 && linger.Err() == nil {
		pause(linger, lingerPoll)
	}
	return p.Shutdown(ctx) == nil
}

// pause waits for this time, or until ctx ends.
func pause(ctx context.Context, long time.Duration) {
	select {
	case <-time.After(long):
	case <-ctx.Done():
	}
}
