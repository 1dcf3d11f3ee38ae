package web

import "net/http"

// Answer lets a test's Handler answer as the package's own do.
func Answer(x *Exchange, r *http.Request, status int, body []byte) {
	x.send(r, status, textType, body)
}
