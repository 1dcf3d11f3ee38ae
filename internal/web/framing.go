package web

import "net/http"

// A head notes which of the fields that frame a body are in the head of the first
// request on a connection. net/http deletes them before a handler runs: it ignores
// Transfer-Encoding in HTTP/1.0, and Content-Length beside it. Whoever is in front
// of the service may judge otherwise, and take what follows for something else
// (request smuggling).
type head struct {
	line             [len("transfer-encoding") + 1]byte // how the current line begins, in lower case
	n                int                                // how much of line is filled
	over             bool
	transferEncoding bool
	contentLength    bool
}

// scan reads the next bytes of the connection.
func (h *head) scan(p []byte) {
	for _, c := range p {
		switch {
		case c == '\n' && h.n == 0:
			h.over = true
			return
		case c == '\n':
			h.n = 0
		case c == '\r' && h.n == 0, h.n == len(h.line):
		case c == ':':
			name := string(h.line[:h.n])
			h.transferEncoding = h.transferEncoding || name == "transfer-encoding"
			h.contentLength = h.contentLength || name == "content-length"
			h.n = len(h.line)
		default:
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			h.line[h.n] = c
			h.n++
		}
	}
}

// framing closes the connection after a request whose framing has been judged in
// different ways, and refuses it where that can be seen (RFC 9112, section 6.1).
// Only the first head is looked at: where a later one begins, only net/http knows.
func (c *conn) framing(x *Exchange, r *http.Request, next Handler) Handler {
	chunked, old := len(r.TransferEncoding) > 0, !r.ProtoAtLeast(1, 1)
	if !chunked && !old {
		return next
	}
	first := c.requests == 1
	if first && chunked && !c.first.contentLength {
		return next
	}
	x.w.Header()["Connection"] = []string{"close"}
	if first && c.first.transferEncoding {
		return func(*Exchange, *http.Request) error { return errFraming }
	}
	return next
}

var errFraming = badRequest("Transfer-Encoding comes with Content-Length, or in HTTP/1.0: where the body ends is not certain.")
