package tlscert

import (
	"net/http"
	"net/url"
	"strings"
)

// Redirect returns what the plain-text listener serves: for GET and HEAD a 308
// to the same path and query on https, at the first of hosts, or where there
// are none at the host that the request itself names. It never serves anything
// else, however the request line is written: a 405 for other methods, and a 400
// for what has no path or names no host. The https port is the default one,
// since what this process listens on need not be what the client connects to.
//
// The server must have DisableGeneralOptionsHandler set, or it answers
// OPTIONS * by itself.
func Redirect(hosts []string) http.Handler {
	hosts = normalized(hosts)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this listener only redirects to https", http.StatusMethodNotAllowed)
			return
		}
		host := hostOf(r.Host)
		if len(hosts) > 0 {
			host = hosts[0]
		}
		target, ok := secure(host, r.URL)
		if !ok {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		// Without this, the answer gets a body in HTML.
		w.Header()["Content-Type"] = nil
		http.Redirect(w, r, target, http.StatusPermanentRedirect) //nolint:gosec // secure has fixed the host
	})
}

// secure returns the URL of the requested path and query on https at host. The
// path always follows a host of our choice: sent by itself, //evil.example would
// be the address of another server (RFC 3986, section 4.2).
func secure(host string, requested *url.URL) (target string, ok bool) {
	switch {
	case strings.Contains(host, ":") && isIP(host):
		host = "[" + host + "]"
	case !isIP(host) && !isDNS(host):
		return "", false
	}
	u := url.URL{
		Scheme: "https", Host: host,
		Path: requested.Path, RawPath: requested.RawPath,
		ForceQuery: requested.ForceQuery, RawQuery: requested.RawQuery,
	}
	if u.Path == "" && requested.Opaque == "" {
		u.Path = "/" // http://host in a request line
	}
	return u.String(), strings.HasPrefix(u.Path, "/")
}
