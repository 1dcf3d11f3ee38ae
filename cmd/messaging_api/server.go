package main

import (
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"messaging_api/internal/limit"
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

// tlsConfig is nil if TLS is off.
func (o *options) tlsConfig(source certificateSource, floods *floodLog, resolver *limit.Resolver) *tls.Config {
	if source == nil {
		return nil
	}
	config := tlscert.Config(o.tlsMin(), floods.countUnknownNames(resolver, source.GetCertificate))
	if o.TLS == "acme" {
		config.NextProtos = append(config.NextProtos, tlscert.ACMEProtocol)
	}
	return config
}
