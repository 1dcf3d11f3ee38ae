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

// lameDuck is how long a stop, once it accepts no more connections, goes on
// answering requests on those that are open, each answer saying that it is the
// connection's last. http.Server.Shutdown alone drops a request that it reads
// after it was called, and closes idle connections under clients about to use
// them.
const lameDuck = time.Second

// A public server is the one that clients reach.
type public struct {
	server    *http.Server
	admission *limit.Listener
	listener  *web.Listener
	draining  atomic.Bool
	open      sync.WaitGroup // connections
	served    chan struct{}  // closed when Serve has returned: nothing new comes in
}

// newPublic returns a server on inner, with TLS unless config is nil.
func newPublic(inner *limit.Listener, config *tls.Config, handler http.Handler, lines web.Log, troubles *log.Logger, observer web.Observer) *public {
	p := &public{
		admission: inner,
		listener:  web.NewListener(inner, config, handshakeTimeout, lines, observer),
		served:    make(chan struct{}),
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // over TLS only
	p.server = newServer(p.lastAnswers(handler), troubles)
	p.server.Protocols = &protocols
	p.server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: 50,
		// No larger than a stream's window: a client may send a frame of the size
		// that we advertise.
		MaxReadFrameSize:              16 << 10,
		MaxReceiveBufferPerConnection: 256 << 10,
		MaxReceiveBufferPerStream:     64 << 10,
		SendPingTimeout:               15 * time.Second,
		PingTimeout:                   15 * time.Second,
		WriteByteTimeout:              writeTimeout,
	}
	p.server.ConnContext = p.listener.ConnContext
	p.server.ConnState = p.connState
	return p
}

func (p *public) connState(c net.Conn, state http.ConnState) {
	p.admission.ConnState(c, state)
	p.listener.ConnState(c, state)
	switch state {
	case http.StateNew:
		p.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		p.open.Done()
	case http.StateActive, http.StateIdle:
	}
}

// lastAnswers ends each connection with its next answer while draining; HTTP/2
// turns the field into a GOAWAY.
func (p *public) lastAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

// serve accepts connections until drain or Close; only then does it return nil.
func (p *public) serve() error {
	defer close(p.served)
	err := p.server.Serve(p.listener)
	if p.draining.Load() || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// drain stops accepting and lets requests finish until ctx ends, then closes
// what is left. It reports whether all had finished.
func (p *public) drain(ctx context.Context) bool {
	p.draining.Store(true)
	_ = p.listener.Close()
	defer func() { _ = p.server.Close() }()
	if !wait(ctx, p.served) { // handshakes under way still become connections
		return false
	}
	idle := make(chan struct{})
	go func() { // ends with the last connection, at the latest by Close
		p.open.Wait()
		close(idle)
	}()
	duck, cancel := context.WithTimeout(ctx, lameDuck)
	defer cancel()
	wait(duck, idle)
	return p.server.Shutdown(ctx) == nil
}

// Close ends everything at once.
func (p *public) Close() error { return errors.Join(p.listener.Close(), p.server.Close()) }

// wait waits for done, or for ctx, and reports whether it was done.
func wait(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
