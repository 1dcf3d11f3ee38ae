package web

import "net/http"

// Answer lets a test's Handler answer as the package's own do.
func Answer(x *Exchange, r *http.Request, status int, body []byte) {
	x.send(r, status, textType, body)
}

// AnswerWith is Answer with this Content-Security-Policy instead of the
// default one.
func AnswerWith(x *Exchange, r *http.Request, policy string) {
	fields := securityHeaders()
	fields.Set("Content-Security-Policy", policy)
	x.headers = newHeaderBlock(fields)
	x.send(r, http.StatusOK, textType, []byte("its own policy"))
}
