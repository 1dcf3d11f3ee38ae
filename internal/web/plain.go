package web

import (
	"net"
	"net/http"
	"time"
)

// plainRoute is the route of every request on plain HTTP in log lines. The paths of
// ACME challenges are secrets too.
const plainRoute = "plain"

// ServePlain is [Serve] around a handler of plain HTTP. It does not send
// Strict-Transport-Security, which RFC 6797, section 7.2, forbids there.
func ServePlain(log Log, observer Observer, load *InFlight, next http.Handler) http.Handler {
	// The headers are set in the map, so that a handler can replace one.
	return serve(log, observer, plainHeaders(), false, load, func(x *Exchange, r *http.Request) error {
		x.route = plainRoute
		next.ServeHTTP(recorder{x}, r)
		return nil
	})
}

// NewPlainListener is [NewListener] for plain HTTP and ServePlain.
func NewPlainListener(inner net.Listener, log Log, observer Observer) *Listener {
	// Without TLS the only wait is for the server to take the connection.
	return newListener(inner, nil, time.Second, log, observer, plainHeaders())
}

func plainHeaders() *headerBlock {
	var headers []header
	for _, h := range securityHeaders() {
		if h.name != "Strict-Transport-Security" {
			headers = append(headers, h)
		}
	}
	return newHeaderBlock(headers)
}

// A recorder lets an http.Handler answer through an exchange.
type recorder struct{ x *Exchange }

func (r recorder) Header() http.Header { return r.x.w.Header() }

func (r recorder) WriteHeader(status int) {
	r.x.status = status
	r.x.w.WriteHeader(status)
}

func (r recorder) Write(p []byte) (int, error) {
	if r.x.status == 0 {
		r.x.status = http.StatusOK
	}
	n, err := r.x.w.Write(p)
	r.x.bytes += n
	return n, err
}
