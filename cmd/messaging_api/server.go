package main

import (
	"crypto/tls"
	"log"
	"net/http"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/tlscert"
)

// What a connection and a request may take, at most. No wait is without a bound.
const (
	handshakeTimeout  = 5 * time.Second
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = time.Minute
	maxHeaderBytes    = 16 << 10
	inFlightWait      = 200 * time.Millisecond // for a slot among the requests in flight
)

// newServer is an http.Server in which no wait and no size is without a bound.
func newServer(handler http.Handler, errorLog *log.Logger) *http.Server {
	return &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" goes through the handler like anything else
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     errorLog,
	}
}

// tlsConfig is nil where TLS ends elsewhere.
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
