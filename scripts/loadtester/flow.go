package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// A flow is one client spending one budget.
type flow struct {
	*client
	budget string // its name in the fields
	policy policy
	cost   float64 // tokens of one request
	target vegeta.Target
	good   uint16 // status of what is accepted
	rate   vegeta.Rate

	samples  []sample
	problems map[string]int // what was wrong with an answer, and how often
}

// A sample is one request of a flow.
type sample struct {
	at      time.Time // when it was sent
	latency time.Duration
	outcome outcome
}

type outcome int

const (
	accepted outcome = iota
	refused
	failed // neither of the two, in due form
)

// run offers the flow for a time and keeps what became of each request.
func (f *flow) run(d time.Duration) {
	for result := range f.attack(f.target, f.rate, d) {
		f.samples = append(f.samples, sample{result.Timestamp, result.Latency, f.judge(result)})
	}
}

// judge says what an answer is. A refusal that is not in due form is a failure:
// a client could not obey it.
func (f *flow) judge(r *vegeta.Result) outcome {
	outcome, err := f.form(r)
	if err != nil {
		if f.problems == nil {
			f.problems = make(map[string]int)
		}
		f.problems[err.Error()]++
		return failed
	}
	return outcome
}

func (f *flow) form(r *vegeta.Result) (outcome, error) {
	switch r.Code {
	case 0:
		return failed, fmt.Errorf("no answer: %s", r.Error)
	case f.good:
		return accepted, f.fields(r)
	case 429:
		if _, err := retryAfter(r); err != nil {
			return failed, err
		}
		if form := r.Headers.Get("Content-Type"); form != "application/problem+json" {
			return failed, fmt.Errorf("a 429 of type %q", form)
		}
		return refused, f.fields(r)
	}
	return failed, fmt.Errorf("status %d, neither %d nor 429", r.Code, f.good)
}

// fields checks that an answer tells of the budget, and what it told before.
func (f *flow) fields(r *vegeta.Result) error {
	stated, err := policies(r.Headers)
	if err != nil {
		return fmt.Errorf("status %d: %w", r.Code, err)
	}
	left, err := items(r.Headers, "RateLimit", "r", "t")
	if err != nil {
		return fmt.Errorf("status %d: %w", r.Code, err)
	}
	if len(stated) != len(left) {
		return fmt.Errorf("status %d: RateLimit-Policy and RateLimit tell of different budgets", r.Code)
	}
	for name, values := range left {
		if p, ok := stated[name]; !ok || values[0] < 0 || values[0] > p.quota || values[1] < 1 {
			return fmt.Errorf("status %d: RateLimit does not go with the policy of %q", r.Code, name)
		}
	}
	if p, ok := stated[f.budget]; (ok || r.Code == f.good) && p != f.policy {
		return fmt.Errorf("status %d: the policy of %q is not what it was", r.Code, f.budget)
	}
	return nil
}

// retryAfter reads how long a refused client has to wait.
func retryAfter(r *vegeta.Result) (time.Duration, error) {
	n, err := strconv.Atoi(r.Headers.Get("Retry-After"))
	if err != nil || n < 1 || n > 24*60*60 {
		return 0, fmt.Errorf("a 429 with Retry-After %q", r.Headers.Get("Retry-After"))
	}
	return time.Duration(n) * time.Second, nil
}

func (f *flow) count(o outcome) (n int) {
	for _, s := range f.samples {
		if s.outcome == o {
			n++
		}
	}
	return n
}

// allowed is how many whole requests the policy allows. The time is from the
// first to the last: before, the bucket was full, and after, no request came.
func (f *flow) allowed() float64 {
	if len(f.samples) == 0 {
		return 0
	}
	first, last := f.samples[0].at, f.samples[0].at
	for _, s := range f.samples {
		if s.at.Before(first) {
			first = s.at
		}
		if s.at.After(last) {
			last = s.at
		}
	}
	return math.Floor(f.policy.within(last.Sub(first)) / f.cost)
}

// exact reports whether as many were accepted as the policy allows, to 2 %, or
// to one where that is more: a token may come just before or after the end.
func (f *flow) exact() bool {
	want := f.allowed()
	return math.Abs(float64(f.count(accepted))-want) <= max(0.02*want, 1)
}
