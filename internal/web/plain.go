package web

import (
	"net"
	"net/http"
	"strings"
	"time"
)

// plainRoute is the route of every request on plain HTTP in log lines. The paths of
// ACME challenges are secrets too.
const plainRoute = "plain"

// ServePlain is [Serve] around a handler of plain HTTP. It does not send
// Strict-Transport-Security, which RFC 6797, section 7.2, forbids there.
func ServePlain(log Log, observer Observer, load *InFlight, next http.Handler) http.Handler {
	return serve(log, observer, plainHeaders(), load, func(x *Exchange, r *http.Request) error {
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

// plainHeaders are the security headers without Strict-Transport-Security.
func plainHeaders() *headerBlock {
	headers := securityHeaders()
	headers.Del("Strict-Transport-Security")
	return newHeaderBlock(headers)
}

// A recorder lets an http.Handler answer through an exchange.
type recorder struct{ x *Exchange }

func (r recorder) Header() http.Header { return r.x.w.Header() }

func (r recorder) WriteHeader(status int) {
	r.Header().Del("X-Content-Type-Options") // http.Error sets it, and so does the block of headers
	r.x.begin(status)
}

func (r recorder) Write(p []byte) (int, error) {
	if r.x.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.x.w.Write(p)
	r.x.bytes += n
	return n, err
}

// Redirect returns the handler of plain HTTP. It answers GET and HEAD with a 308
// to the same path and query on https: below publicURL (checked, without a final
// slash), else at the first of hosts (as [ParseHost] returns them), else at the host
// that the request names. Without a publicURL the port is the default one, because
// clients may connect to another port than the listener's.
//
// The server must have DisableGeneralOptionsHandler set, or net/http answers
// OPTIONS * by itself.
func Redirect(hosts []string, publicURL string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this listener only redirects to https", http.StatusMethodNotAllowed)
			return
		}
		base := publicURL
		if host, _, ok := ParseHost(r.Host); base == "" && len(hosts) > 0 {
			base = httpsURL(hosts[0], "")
		} else if base == "" && ok {
			base = httpsURL(host, "")
		}
		target := r.URL.RequestURI() // path and query, "/" for a URL without a path
		if base == "" || !strings.HasPrefix(target, "/") {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		w.Header()["Content-Type"] = nil                               // http.Redirect then writes no HTML body
		http.Redirect(w, r, base+target, http.StatusPermanentRedirect) //nolint:gosec // the host is checked
	})
}

// httpsURL returns how the URLs of a host begin. Name and port are ParseHost's.
func httpsURL(name, port string) string {
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	return "https://" + name + port
}
