package web

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
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

// plainHeaders are the security headers without Strict-Transport-Security.
func plainHeaders() *headerBlock {
	return newHeaderBlock(slices.DeleteFunc(securityHeaders(), func(h header) bool { return h.name == "Strict-Transport-Security" }))
}

// A recorder lets an http.Handler answer through an exchange.
type recorder struct{ x *Exchange }

func (r recorder) Header() http.Header { return r.x.w.Header() }

func (r recorder) WriteHeader(status int) { r.x.begin(status) }

func (r recorder) Write(p []byte) (int, error) {
	if r.x.status == 0 {
		r.x.begin(http.StatusOK)
	}
	n, err := r.x.w.Write(p)
	r.x.bytes += n
	return n, err
}

// Redirect returns the handler of plain HTTP. It answers GET and HEAD with a 308
// to the same path and query on https: below publicURL, which has been checked, or
// without one at the first of hosts (as [ParseHost] returns them), or without
// hosts at the host that the request names. Other methods get a 405; a request
// without a path or a valid host gets a 400. Without a publicURL the port is the
// default one, because clients may connect to another port than the listener's.
//
// The server must have DisableGeneralOptionsHandler set, or net/http answers
// OPTIONS * by itself.
func Redirect(hosts []string, publicURL string) http.Handler {
	public, err := url.Parse(publicURL)
	if err != nil {
		panic(fmt.Sprint("web: a public URL that was not checked: ", err))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this listener only redirects to https", http.StatusMethodNotAllowed)
			return
		}
		host, _, ok := ParseHost(r.Host)
		if len(hosts) > 0 {
			host, ok = hosts[0], true
		}
		target := httpsURL(host, r.URL)
		if public.Host != "" && target.Path != "" {
			target.Host, ok = public.Host, true
			target.RawPath = public.EscapedPath() + target.EscapedPath()
			target.Path = public.Path + target.Path
		}
		if !ok || !strings.HasPrefix(target.Path, "/") {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		w.Header()["Content-Type"] = nil                                   // http.Redirect then writes no HTML body
		http.Redirect(w, r, target.String(), http.StatusPermanentRedirect) //nolint:gosec // the host is checked
	})
}

// httpsURL returns the URL of the requested path and query at host. It always has a
// host: the bare path //evil.example would name another server.
func httpsURL(host string, requested *url.URL) *url.URL {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u := &url.URL{
		Scheme: "https", Host: host,
		Path: requested.Path, RawPath: requested.RawPath,
		ForceQuery: requested.ForceQuery, RawQuery: requested.RawQuery,
	}
	if u.Path == "" && requested.Opaque == "" {
		u.Path = "/" // the request line names a URL without a path
	}
	return u
}
