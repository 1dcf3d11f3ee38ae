package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// An op is what a call asks of the service.
type op string

const (
	opCreate   op = "create"
	opRead     op = "read"
	opOpen     op = "open"
	opWithdraw op = "withdraw"
)

// A call is one request and its answer. Times count from the start of the program.
type call struct {
	op         op
	id         string // of the message
	begin, end time.Duration
	status     int  // 0: there was no answer
	wrongText  bool // a 200 with another text than the one that was stored
	readsLeft  int  // of an opening that was answered with 200
	audit      bool // asked after the round, when Redis and the service are well again
}

// A note is an acknowledged message: what has to be there from now on.
type note struct {
	id    string
	text  string
	reads int           // of a limited message; 0: plain
	owner string        // the token that takes it back
	acked time.Duration // when its creation was answered
}

// A history is what happened in one round.
type history struct {
	mu    sync.Mutex // guards what follows
	calls []call
	notes []note
}

func (h *history) add(c call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

func (h *history) acknowledge(n note) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, n)
}

// created counts creations that were answered so.
func (h *history) created(status int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.calls {
		if c.op == opCreate && c.status == status {
			n++
		}
	}
	return n
}

// any returns an acknowledged message, by a number of the caller's choice.
func (h *history) any(n uint64) (note, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.notes) == 0 {
		return note{}, false
	}
	return h.notes[n%uint64(len(h.notes))], true
}

// acknowledged returns a copy of the acknowledged messages.
func (h *history) acknowledged() []note {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.notes)
}

// size is the number of acknowledged messages.
func (h *history) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.notes)
}

// refused counts creations that got a 503.
func (h *history) refused() int { return h.created(http.StatusServiceUnavailable) }

// present returns the plain messages that the audit found.
func (h *history) present() []note {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := make(map[string]bool)
	for _, c := range h.calls {
		if c.op == opRead && c.audit && c.status == http.StatusOK && !c.wrongText {
			found[c.id] = true
		}
	}
	var notes []note
	for _, n := range h.notes {
		if found[n.id] {
			notes = append(notes, n)
		}
	}
	return notes
}

// A verdict counts what must not happen in a history.
type verdict struct {
	acked      int           // messages, for scale
	lost       int           // acknowledged messages that are gone, or have another text
	unaudited  int           // acknowledged messages of which the audit learned nothing
	falseGone  int           // answers "gone" for a message that was there
	tooOften   int           // limited messages that were opened more often than they allow
	undone     int           // openings and withdrawals that were answered and then taken back
	unanswered int           // calls without an answer
	slowest    time.Duration // of the answers
	examples   []string
}

// bad reports whether anything happened that must not.
func (v *verdict) bad() bool {
	return v.lost+v.unaudited+v.falseGone+v.tooOften+v.undone+v.unanswered > 0
}

// example keeps the first few things that went wrong, for people.
func (v *verdict) example(format string, args ...any) {
	if len(v.examples) < 5 {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

// add adds another verdict's counts.
func (v *verdict) add(w verdict) {
	v.acked += w.acked
	v.lost += w.lost
	v.unaudited += w.unaudited
	v.falseGone += w.falseGone
	v.tooOften += w.tooOften
	v.undone += w.undone
	v.unanswered += w.unanswered
	v.slowest = max(v.slowest, w.slowest)
	v.examples = append(v.examples, w.examples...)
}

// judge says what went wrong in a history. It takes each message's calls in the
// order in which they began.
func judge(h *history) verdict {
	var v verdict
	byID := make(map[string][]call)
	for _, c := range h.calls {
		v.slowest = max(v.slowest, c.end-c.begin)
		if c.status == 0 {
			v.unanswered++
			v.example("%s at %v: no answer", c.op, c.begin)
		}
		if c.id != "" {
			byID[c.id] = append(byID[c.id], c)
		}
	}
	for _, n := range h.notes {
		calls := byID[n.id]
		slices.SortStableFunc(calls, func(a, b call) int { return int(a.begin - b.begin) })
		v.acked++
		if n.reads > 0 {
			v.limited(n, calls)
		} else {
			v.plain(n, calls)
		}
	}
	return v
}

// plain judges a message without a limit. From the moment it is acknowledged until
// somebody asks to take it back, each answer is its text or an error of the service.
func (v *verdict) plain(n note, calls []call) {
	asked, withdrawn := firstWithdrawal(calls)
	audited := false
	for _, c := range calls {
		gone := c.status == http.StatusNotFound || c.status == http.StatusGone
		switch {
		case c.op != opRead || c.begin < n.acked:
		case c.audit && withdrawn >= 0 && c.status == http.StatusOK:
			v.undone++
			v.example("%s: taken back at %v, read again at %v", n.id, withdrawn, c.begin)
			audited = true
		case c.status == http.StatusOK && !c.wrongText:
			audited = audited || c.audit
		case c.status == http.StatusGone && asked < c.end:
			audited = audited || c.audit
		case c.audit && (gone || c.wrongText):
			v.lost++
			v.example("%s: acknowledged at %v, lost: the audit at %v got %d", n.id, n.acked, c.begin, c.status)
			audited = true
		case gone || c.wrongText:
			v.falseGone++
			v.example("%s: acknowledged at %v, and a read at %v got %d", n.id, n.acked, c.begin, c.status)
		}
	}
	if !audited {
		v.unaudited++
		v.example("%s: acknowledged at %v, and the audit got no answer about it", n.id, n.acked)
	}
}

// firstWithdrawal returns when somebody first asked to take the message back, and when
// that was first acknowledged: the largest duration, and -1, if never.
func firstWithdrawal(calls []call) (asked, acked time.Duration) {
	asked, acked = 1<<63-1, -1
	for _, c := range calls {
		if c.op != opWithdraw {
			continue
		}
		asked = min(asked, c.begin)
		if c.status == http.StatusNoContent && (acked < 0 || c.end < acked) {
			acked = c.end
		}
	}
	return asked, acked
}

// limited judges a message with a limit. The audit opens it until that is refused.
func (v *verdict) limited(n note, calls []call) {
	var opened []call
	audited := false
	for _, c := range calls {
		if c.op != opOpen || c.begin < n.acked {
			continue
		}
		audited = audited || c.audit && (c.status == http.StatusGone || c.status == http.StatusNotFound)
		if c.status == http.StatusOK {
			opened = append(opened, c)
		}
		v.opening(n, c)
	}
	if len(opened) > n.reads {
		v.tooOften++
		v.example("%s: can be opened %d times, and was %d times", n.id, n.reads, len(opened))
	}
	v.order(n, opened)
	if !audited {
		v.unaudited++
		v.example("%s: limited, and the audit could not open it until it was refused", n.id)
	}
}

// opening judges one opening by itself.
func (v *verdict) opening(n note, c call) {
	switch {
	case c.wrongText:
		v.lost++
		v.example("%s: opened at %v with another text", n.id, c.begin)
		return
	case c.status != http.StatusNotFound:
		return
	case c.audit:
		v.lost++
	default:
		v.falseGone++
	}
	v.example("%s: acknowledged at %v, and an opening at %v got 404", n.id, n.acked, c.begin)
}

// order judges openings by each other: each leaves fewer reads than every one that was
// answered before it began.
func (v *verdict) order(n note, opened []call) {
	for i, later := range opened {
		for _, earlier := range opened[:i] {
			if earlier.end <= later.begin && earlier.readsLeft <= later.readsLeft {
				v.undone++
				v.example("%s: an opening at %v left %d reads, a later one at %v left %d", n.id, earlier.end, earlier.readsLeft, later.begin, later.readsLeft)
			}
		}
	}
}
