package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// readBody reads at most MaxBytes. Every error is a refusal. The buffer grows with
// what has come, not with what was announced; each growth is reserved first.
func (l Limits) readBody(x *Exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength > l.MaxBytes {
		return nil, l.tooLarge()
	}
	size := l.MaxBytes
	if r.ContentLength >= 0 {
		size = r.ContentLength
	}
	x.reading = true
	x.load.setWait(x, forBody)
	defer x.load.setWait(x, forNothing)
	b := make([]byte, 0, min(size+1, 4<<10)) // counted with the request; one byte more reads the end
	for {
		x.paceBody(len(b))
		if x.cut.Load() { // after the deadlines, which replace that of the cut
			_ = x.load.enter(x) // counts the refusal; an error says the same
			return nil, x.tooBusy()
		}
		if len(b) == cap(b) {
			grown := int(min(2*int64(cap(b)), size+1))
			if !x.load.reserve(x, grown-cap(b)) {
				return nil, x.tooBusy()
			}
			b = append(make([]byte, 0, grown), b...)
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case x.cut.Load():
		case int64(len(b)) > size:
			return nil, l.tooLarge()
		case err == io.EOF:
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, refusal{status: http.StatusRequestTimeout, detail: "The body did not come in time."}
		case err != nil:
			return nil, badRequest("The body ended early or is malformed.")
		}
	}
}

// paced returns the deadline for the byte after the first n.
func paced(start time.Time, grace time.Duration, n int) time.Time {
	return start.Add(grace + time.Duration(n)*time.Second/paceRate)
}

// paceBody sets the deadline for the next byte of a body after n have come. It also
// moves the deadline for the answer, which would pass while a large body comes.
func (x *Exchange) paceBody(n int) {
	control := http.NewResponseController(x.w)
	until := paced(x.start, bodyGrace, n)
	_ = control.SetReadDeadline(until)
	if n > smallAnswer {
		_ = control.SetWriteDeadline(until.Add(answerGrace))
	}
}

func (l Limits) tooLarge() error {
	return refusal{
		status: http.StatusRequestEntityTooLarge,
		detail: fmt.Sprintf("The body is over %d bytes.", l.MaxBytes),
	}
}
