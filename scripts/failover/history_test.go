package main

import (
	"net/http"
	"testing"
	"time"
)

const (
	ok     = http.StatusOK
	gone   = http.StatusGone
	absent = http.StatusNotFound
	failed = http.StatusServiceUnavailable
)

// at makes a call that begins at a second and takes half of one.
func at(second int, kind op, status int) call {
	begin := time.Duration(second) * time.Second
	return call{op: kind, id: "a", begin: begin, end: begin + time.Second/2, status: status}
}

// audit is a call of the audit.
func audit(c call) call {
	c.audit = true
	return c
}

// left is an opening that was answered and left so many reads.
func left(second, reads int) call {
	c := at(second, opOpen, ok)
	c.readsLeft = reads
	return c
}

// The checker finds each kind of fault that is planted in a history, and nothing else.
func TestJudge(t *testing.T) {
	plain := note{id: "a", text: "text", acked: time.Second / 2}
	limited := note{id: "a", text: "text", reads: 2, acked: time.Second / 2}
	otherText := at(2, opRead, ok)
	otherText.wrongText = true
	for name, test := range map[string]struct {
		note  note
		calls []call
		want  verdict
	}{
		"a message that is there":                      {plain, []call{at(1, opRead, ok), at(2, opRead, failed), audit(at(3, opRead, ok))}, verdict{}},
		"a read that began before the acknowledgement": {plain, []call{at(0, opRead, absent), audit(at(3, opRead, ok))}, verdict{}},
		"a loss":                     {plain, []call{at(1, opRead, ok), audit(at(3, opRead, absent))}, verdict{lost: 1}},
		"another text in the audit":  {plain, []call{audit(otherText)}, verdict{lost: 1}},
		"another text":               {plain, []call{otherText, audit(at(3, opRead, ok))}, verdict{falseGone: 1}},
		"a false 404":                {plain, []call{at(1, opRead, absent), audit(at(3, opRead, ok))}, verdict{falseGone: 1}},
		"a false 410":                {plain, []call{at(1, opRead, gone), audit(at(3, opRead, ok))}, verdict{falseGone: 1}},
		"no audit":                   {plain, []call{at(1, opRead, ok), audit(at(3, opRead, failed))}, verdict{unaudited: 1}},
		"no answer":                  {plain, []call{at(1, opRead, 0), audit(at(3, opRead, ok))}, verdict{unanswered: 1}},
		"taken back":                 {plain, []call{at(1, opWithdraw, http.StatusNoContent), at(2, opRead, gone), audit(at(3, opRead, gone))}, verdict{}},
		"taken back, perhaps":        {plain, []call{at(1, opWithdraw, failed), audit(at(3, opRead, gone))}, verdict{}},
		"taken back, perhaps not":    {plain, []call{at(1, opWithdraw, failed), audit(at(3, opRead, ok))}, verdict{}},
		"taken back, and there":      {plain, []call{at(1, opWithdraw, http.StatusNoContent), audit(at(3, opRead, ok))}, verdict{undone: 1}},
		"taken back, and a 404":      {plain, []call{at(1, opWithdraw, http.StatusNoContent), audit(at(3, opRead, absent))}, verdict{lost: 1}},
		"opened twice":               {limited, []call{left(1, 1), left(2, 0), at(3, opOpen, gone), audit(at(4, opOpen, gone))}, verdict{}},
		"opened once, a lost answer": {limited, []call{left(1, 1), at(2, opOpen, failed), audit(at(4, opOpen, gone))}, verdict{}},
		"opened in the audit":        {limited, []call{left(1, 1), audit(left(2, 0)), audit(at(4, opOpen, gone))}, verdict{}},
		"two openings at once":       {limited, []call{left(1, 0), left(1, 1), audit(at(4, opOpen, gone))}, verdict{}},
		"an opening too many":        {limited, []call{left(1, 0), left(1, 1), left(1, 0), audit(at(4, opOpen, gone))}, verdict{tooOften: 1}},
		"an undone opening":          {limited, []call{left(1, 1), left(2, 1), audit(at(4, opOpen, gone))}, verdict{undone: 1}},
		"a lost limited message":     {limited, []call{left(1, 1), audit(at(4, opOpen, absent))}, verdict{lost: 1}},
		"a false 404 to an opening":  {limited, []call{at(1, opOpen, absent), audit(at(4, opOpen, gone))}, verdict{falseGone: 1}},
		"no audit of openings":       {limited, []call{left(1, 1), audit(at(4, opOpen, failed))}, verdict{unaudited: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &history{}
			h.acknowledge(test.note)
			for _, c := range test.calls {
				h.add(c)
			}
			got := judge(h)
			if got.bad() != (len(got.examples) > 0) {
				t.Errorf("got bad %v with the examples %q", got.bad(), got.examples)
			}
			got.examples = nil
			test.want.acked = 1
			if !equal(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func equal(a, b verdict) bool {
	return a.acked == b.acked && a.lost == b.lost && a.unaudited == b.unaudited && a.falseGone == b.falseGone &&
		a.tooOften == b.tooOften && a.undone == b.undone && a.unanswered == b.unanswered
}
