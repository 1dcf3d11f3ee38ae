package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Redirect returns the handler of plain HTTP. It answers GET and HEAD with a 308
// to the same path and query on https: below publicURL, which has been checked, or
// without one at the first of hosts (as [ParseHost] returns them), or without
// hosts at the host that the request names. Other methods get a 405; a request
// without a path or a valid host gets a 400. Without a publicURL the https port is
// the default one: the port that this process listens on need not be the one that
// clients connect to.
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

// httpsURL returns the URL of the requested path and query at host. The result
// always has a host: a bare path such as //evil.example would name another
// server (RFC 3986, section 4.2).
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
