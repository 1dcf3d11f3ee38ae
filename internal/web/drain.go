package web

import (
	"io"
	"net"
	"net/http"
	"time"
)

// A refusal is sent before its request's body was read. To close the connection
// then resets it, which often destroys the answer before the client, or a proxy,
// reads it. So the body is read and discarded, within these bounds.
const (
	drainBytes = 8 << 20
	drainTime  = 10 * time.Second
)

// drainConnection discards what comes on a connection after its last answer, until
// the client closes it too.
func drainConnection(c net.Conn) {
	_ = closeWrite(c)
	_ = c.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, c, drainBytes)
}

// prepareDrain prepares to discard the body after a refusal with this status. Call
// it before the answer. A client that waits for "100 Continue" sends no body, and
// one that was too slow, or was cut, gets no more time.
func (x *Exchange) prepareDrain(r *http.Request, status int) {
	if r.ContentLength == 0 || !x.reading && r.Header.Get("Expect") != "" ||
		status == http.StatusRequestTimeout || x.cut.Load() {
		return
	}
	// Otherwise net/http reads up to 256 KiB of the body before it sends the answer,
	// and closes the connection where that is not all.
	if http.NewResponseController(x.w).EnableFullDuplex() != nil {
		return
	}
	x.draining = true
	if r.ContentLength > drainBytes {
		x.w.Header()["Connection"] = []string{"close"}
	}
}

// drain discards the rest of a refused request's body. In HTTP/1 it sends the
// answer first, so that a client that sees it stops sending. In HTTP/2 the answer
// follows the body, because curl loses an answer that ends before its request.
func (x *Exchange) drain(r *http.Request) {
	if !x.draining {
		return
	}
	control := http.NewResponseController(x.w)
	if r.ProtoMajor == 1 {
		_ = control.Flush()
	}
	_ = control.SetReadDeadline(time.Now().Add(drainTime))
	x.load.setWait(x, forBody) // after the deadline, which would replace that of a cut
	_, err := io.CopyN(io.Discard, r.Body, drainBytes+1)
	x.load.setWait(x, forNothing)
	if x.cut.Load() || err != io.EOF && r.ProtoMajor == 1 { //nolint:errorlint // as io.Reader returns it
		panic(http.ErrAbortHandler) // the rest of the body must not become the next request
	}
}
