package web

import (
	"fmt"
	"net/http"
	"net/url"
)

// Origin refuses, with a 403, what a page of another site makes a browser send: it
// must not spend its visitor's budgets or store messages. Navigations pass, so that
// links can be clicked anywhere. Programs send none of the fields that are judged.
//
// Links begin with publicURL (checked, without a final slash), unless it is empty.
// Its origin is the service's own too.
func Origin(publicURL string, next Handler) Handler {
	protection := http.NewCrossOriginProtection()
	if u, err := url.Parse(publicURL); publicURL != "" {
		if err == nil {
			err = protection.AddTrustedOrigin(u.Scheme + "://" + u.Host)
		}
		if err != nil {
			panic(fmt.Sprint("web: a public URL that was not checked: ", err))
		}
	}
	return func(x *Exchange, r *http.Request) error {
		x.publicURL = publicURL
		if foreign(protection, r) {
			x.event = eventForeign
			return errForeign
		}
		return next(x, r)
	}
}

var errForeign = constant(http.StatusForbidden, "A page of another site made the browser send this. Open the link itself, or send the request from a program.")

// foreign reports whether a browser sent a request for a page of another site. A
// read is judged by the Fetch Metadata fields alone (W3C Fetch Metadata Request
// Headers), because CrossOriginProtection lets all of them pass.
func foreign(protection *http.CrossOriginProtection, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return len(r.Header.Get("Origin")) > 512 || protection.Check(r) != nil
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}
