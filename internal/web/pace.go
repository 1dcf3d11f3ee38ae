package web

import (
	"io"
	"net/http"
	"time"
)

// A client may be slow, but not stand still: what it sends or takes has to come
// at least at paceRate on the whole, after a grace. An absolute deadline alone
// would cut large honest transfers on slow lines, or be so long that a trickle
// holds a connection for minutes.
const paceRate = 1 << 10 // bytes a second

// smallBody is what a body may have and still be over well before the server's
// own deadline for its answer.
const smallBody = 4 << 10

type writeDeadliner interface{ SetWriteDeadline(t time.Time) error }

// paced returns the moment until which n bytes have to be through.
func paced(start time.Time, grace time.Duration, n int64) time.Time {
	return start.Add(grace + time.Duration(n)*time.Second/paceRate)
}

// A pacedBody is a request's body whose deadline moves with what has come.
type pacedBody struct {
	io.ReadCloser
	w     http.ResponseWriter
	start time.Time
	grace time.Duration
	read  int64
}

func (b *pacedBody) Read(p []byte) (int, error) {
	// Deadlines are there on the network; a writer without them is a test's.
	until := paced(b.start, b.grace, b.read)
	if w, ok := b.w.(interface{ SetReadDeadline(t time.Time) error }); ok {
		_ = w.SetReadDeadline(until)
	}
	// The server's deadline for the answer counts from the head. It would pass while
	// a large body may still come, which would then be stored and not answered.
	if w, ok := b.w.(writeDeadliner); ok && b.read > smallBody {
		_ = w.SetWriteDeadline(until.Add(answerGrace))
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}

// paceAnswer gives the client time for what comes after the first n bytes of an
// answer that began at start. What the kernel has taken counts as sent, and may be
// a lot: whoever takes nothing more is not to live on it for longer than the grace.
func paceAnswer(w http.ResponseWriter, grace time.Duration, n int, start time.Time) {
	if w, ok := w.(writeDeadliner); ok {
		until := paced(start, grace, int64(n))
		if still := time.Now().Add(grace); still.Before(until) {
			until = still
		}
		_ = w.SetWriteDeadline(until)
	}
}
