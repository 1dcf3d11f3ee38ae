package web

import (
	"bytes"
	"net/http"
)

// A firstHead keeps the head of the first request on a connection. net/http hides
// the fields that frame a body: it ignores Transfer-Encoding in HTTP/1.0, and
// Content-Length beside it. A proxy in front may judge otherwise, and take what
// follows for another request (request smuggling).
type firstHead struct {
	read  []byte // in lower case, without carriage returns
	whole bool
}

// add keeps the next bytes of the connection. net/http bounds the head.
func (h *firstHead) add(p []byte) {
	if !h.whole {
		h.read = append(h.read, bytes.ToLower(bytes.ReplaceAll(p, []byte("\r"), nil))...)
		h.read, _, h.whole = bytes.Cut(h.read, []byte("\n\n"))
	}
}

// has reports whether the head has a field.
func (h *firstHead) has(name string) bool { return bytes.Contains(h.read, []byte("\n"+name+":")) }

// framing closes the connection after a request whose framing other programs judge
// in different ways, and refuses it where that can be seen (RFC 9112, section 6.1).
// Only the first head is looked at: only net/http knows where a later one begins.
func (c *conn) framing(x *Exchange, r *http.Request, next Handler) Handler {
	first := c.first
	c.first.read = nil
	chunked := len(r.TransferEncoding) > 0
	if !chunked && r.ProtoAtLeast(1, 1) || chunked && first.read != nil && !first.has("content-length") {
		return next
	}
	x.w.Header()["Connection"] = []string{"close"}
	if first.has("transfer-encoding") {
		return func(*Exchange, *http.Request) error { return errFraming }
	}
	return next
}

var errFraming = badRequest("Transfer-Encoding comes with Content-Length, or in HTTP/1.0: where the body ends is not certain.")
