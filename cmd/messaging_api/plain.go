package main

import (
	"errors"
	"log"
	"net"
	"net/http"

	"messaging_api/internal/limit"
	"messaging_api/internal/tlscert"
	"messaging_api/internal/web"
)

// A plain server answers plain HTTP: ACME challenges, and redirects to https.
// Nothing of the application is reachable there. A nil one is off.
type plain struct {
	server    *http.Server
	admission *limit.Listener
	listener  *web.Listener
}

// newPlain returns the server on inner, or nil where there is none.
func (o *options) newPlain(inner *limit.Listener, source certificateSource, lines web.Log, errorLog *log.Logger, observer web.Observer, load *web.InFlight) *plain {
	if inner == nil {
		return nil
	}
	handler := web.Redirect(o.Host, o.PublicURL)
	if acme, ok := source.(*tlscert.ACME); ok {
		handler = acme.HTTPHandler(handler)
	}
	p := &plain{admission: inner, listener: web.NewPlainListener(inner, lines, observer)}
	p.server = newServer(web.ServePlain(lines, observer, load, handler), errorLog)
	p.server.ConnContext = p.listener.ConnContext
	p.server.ConnState = func(c net.Conn, state http.ConnState) {
		p.admission.ConnState(c, state)
		p.listener.ConnState(c, state)
	}
	return p
}

// serve accepts connections until Close; only then does it return nil.
func (p *plain) serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends it at once: none of its requests is worth waiting for.
func (p *plain) Close() error {
	if p == nil {
		return nil
	}
	return p.server.Close()
}
