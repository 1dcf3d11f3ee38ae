package web

import (
	"io"
	"net/http"
	"os"
	"time"
)

// A client may be slow, but not stand still: after a grace, what it sends or takes
// must come at paceRate on average. An absolute deadline alone would cut large
// honest transfers on slow lines, or let a trickle hold a connection for minutes.
const paceRate = 1 << 10 // bytes a second

// smallBody is the size of a body that ends well before the server's own deadline
// for its answer.
const smallBody = 4 << 10

// Connections have deadlines; only the writers of tests have none.
type (
	readDeadliner  interface{ SetReadDeadline(t time.Time) error }
	writeDeadliner interface{ SetWriteDeadline(t time.Time) error }
)

// paced returns the time at which the byte after the first n must have come.
func paced(start time.Time, grace time.Duration, n int64) time.Time {
	return start.Add(grace + time.Duration(n)*time.Second/paceRate)
}

// A pacedBody is a request's body whose deadline moves with what has come.
type pacedBody struct {
	io.ReadCloser
	x     *Exchange
	start time.Time
	grace time.Duration // 0: the server's deadlines stand
	read  int64
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.grace > 0 {
		b.setDeadlines()
	}
	if b.x.cut.Load() { // after the deadlines, which would undo the one that cut it
		return 0, os.ErrDeadlineExceeded
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}

func (b *pacedBody) setDeadlines() {
	until := paced(b.start, b.grace, b.read)
	if w, ok := b.x.w.(readDeadliner); ok {
		_ = w.SetReadDeadline(until)
	}
	// The server's deadline for the answer counts from the request's header. It would
	// pass while a large body still comes, which would be stored and not answered.
	if w, ok := b.x.w.(writeDeadliner); ok && b.read > smallBody {
		_ = w.SetWriteDeadline(until.Add(answerGrace))
	}
}

// paceAnswer sets the deadline for the next piece of an answer, after n bytes since
// start. What the kernel has taken counts as sent, and may be much, so the deadline
// is never further away than the grace.
func paceAnswer(w http.ResponseWriter, grace time.Duration, n int, start time.Time) {
	if w, ok := w.(writeDeadliner); ok {
		until := paced(start, grace, int64(n))
		if still := time.Now().Add(grace); still.Before(until) {
			until = still
		}
		_ = w.SetWriteDeadline(until)
	}
}
