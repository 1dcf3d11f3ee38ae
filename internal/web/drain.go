package web

import (
	"io"
	"net"
	"net/http"
	"time"
)

// A refusal goes out before its request's body was read. If the connection were
// closed then, the reset that unread bytes cause would often destroy the answer
// before its client, or a proxy, has read it. So the body is read and discarded,
// within these bounds, and the connection goes on where it was read whole. The
// request still counts as under way.
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

// unread reports whether a request that is refused with this status has a body that
// may still come. A client that waits for "100 Continue" sends none, and one that
// was too slow, or was cut, has had its time.
func (x *Exchange) unread(r *http.Request, status int) bool {
	return r.ContentLength != 0 && (x.reading || r.Header.Get("Expect") == "") &&
		status != http.StatusRequestTimeout && !x.cut.Load()
}

// prepareDrain prepares to discard the body after the answer. Call it before the
// answer.
func (x *Exchange) prepareDrain(r *http.Request, status int) {
	if !x.unread(r, status) {
		return
	}
	// Otherwise net/http itself reads up to 256 KiB of the body before it sends the
	// answer, and closes where that is not all.
	if http.NewResponseController(x.w).EnableFullDuplex() != nil {
		return
	}
	x.draining = true
	if r.ContentLength > drainBytes {
		x.w.Header()["Connection"] = []string{"close"}
	}
}

// drain discards the rest of a refused request's body. In HTTP/1 it sends the
// answer first, so that a client that watches for it stops sending. In HTTP/2 the
// answer goes out after the body: curl loses an answer that ends before its request
// does, and Go's client stops sending at the answer's header and waits for the end.
func (x *Exchange) drain(r *http.Request) {
	if !x.draining {
		return
	}
	control := http.NewResponseController(x.w)
	if r.ProtoMajor == 1 {
		_ = control.Flush()
	}
	_ = control.SetReadDeadline(time.Now().Add(drainTime))
	x.load.setWait(x, forBody) // after the deadline, which would undo that of a cut
	_, err := io.CopyN(io.Discard, r.Body, drainBytes+1)
	x.load.setWait(x, forNothing)
	if x.cut.Load() || err != io.EOF && r.ProtoMajor == 1 { //nolint:errorlint // as io.Reader returns it
		// What is still to come must not be taken for the next request, and what was
		// cut is counted no more.
		panic(http.ErrAbortHandler)
	}
}
