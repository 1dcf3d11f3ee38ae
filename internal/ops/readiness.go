package ops

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// checkTimeout bounds one check. Probes themselves give up after a few
	// seconds and then tell nothing about which check it was.
	checkTimeout = time.Second
	// reportLife is how long a report is handed out again, so that probing,
	// however often, costs a store one question a second.
	reportLife = time.Second
)

// A Check is one thing without which the service cannot serve.
type Check struct {
	// Name tells the check apart in the report: "store", "certificate".
	Name string
	// Run returns nil if all is well. The detail and the error's text are shown
	// to whoever reaches the operations listener: no secret may be in them.
	// Run returns soon after its context ends; one that does not is not started
	// again before it has returned, and counts as failed until then. It is never
	// run twice at once.
	Run func(context.Context) (detail string, err error)
}

// A Result is what one check said.
type Result struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// A Report holds the results of all checks, in their order.
type Report []Result

// OK reports whether every check passed.
func (r Report) OK() bool {
	for _, result := range r {
		if !result.OK {
			return false
		}
	}
	return true
}

// Readiness runs checks when it is asked, all at once, and remembers for a
// second what they said. It is safe for concurrent use: however many ask, each
// check runs once.
type Readiness struct {
	probes []*probe
	work   sync.WaitGroup // rounds and the checks that they started

	mu     sync.Mutex // guards what follows
	last   *round     // nil before the first
	closed bool
}

// A round is one run of all checks.
type round struct {
	done   chan struct{} // closed when the fields below are set for good
	report Report
	at     time.Time
}

// NewReadiness returns a Readiness over these checks. Without any it is always
// ready.
func NewReadiness(checks ...Check) *Readiness {
	r := new(Readiness)
	for _, check := range checks {
		r.probes = append(r.probes, &probe{Check: check})
	}
	return r
}

// Report returns what the checks say, at most a second old. Each that does not
// answer within a second has failed. Where ctx ends first, and after Close, every
// check has failed.
func (r *Readiness) Report(ctx context.Context) Report {
	round := r.current(ctx)
	if round == nil {
		return r.unknown("the service is stopping")
	}
	select {
	case <-round.done:
		return round.report
	case <-ctx.Done():
		return r.unknown("nobody waited for the answer")
	}
}

// unknown is the report where no check could be asked.
func (r *Readiness) unknown(why string) Report {
	report := make(Report, len(r.probes))
	for i, p := range r.probes {
		report[i] = Result{Name: p.Name, Detail: why}
	}
	return report
}

// current returns the round that is running or still fresh, or else starts one;
// nil after Close.
func (r *Readiness) current(ctx context.Context) *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	if r.last != nil {
		select {
		case <-r.last.done:
			if time.Since(r.last.at) < reportLife {
				return r.last
			}
		default:
			return r.last
		}
	}
	next := &round{done: make(chan struct{})}
	r.last = next
	// The first to ask must not fail all the others by leaving.
	ctx = context.WithoutCancel(ctx)
	r.work.Go(func() { r.run(ctx, next) })
	return next
}

// run fills in one round. Rounds never overlap, so the probes need no lock.
func (r *Readiness) run(ctx context.Context, next *round) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	for _, p := range r.probes {
		p.start(ctx, &r.work)
	}
	next.report = make(Report, len(r.probes))
	for i, p := range r.probes {
		next.report[i] = p.wait(ctx)
	}
	next.at = time.Now()
	close(next.done)
}

// Close lets no check start any more and waits for those that run, or for ctx;
// then it returns its error.
func (r *Readiness) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	idle := make(chan struct{})
	go func() { // ends with the last check, which is all that it waits for
		r.work.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ops: a check is still running: %w", ctx.Err())
	}
}

// A probe is a check and its run, if it has one.
type probe struct {
	Check
	answer chan Result // of the run that has not been waited for; otherwise nil
	since  time.Time   // when that run started
}

// start runs the check, unless its last run is still at it: a check that hangs
// would otherwise leave one more goroutine behind each second.
func (p *probe) start(ctx context.Context, work *sync.WaitGroup) {
	if p.answer != nil {
		select {
		case <-p.answer: // too late to be true
		default:
			return
		}
	}
	answer := make(chan Result, 1)
	p.answer, p.since = answer, time.Now()
	work.Go(func() { answer <- p.ask(ctx) })
}

// ask runs the check to its end.
func (p *probe) ask(ctx context.Context) (result Result) {
	// A check that panics has failed; the service that it checks has not.
	defer func() {
		if v := recover(); v != nil {
			result = Result{Name: p.Name, Detail: fmt.Sprintf("the check panicked: %v", v)}
		}
	}()
	detail, err := p.Run(ctx)
	if err != nil {
		return Result{Name: p.Name, Detail: err.Error()}
	}
	return Result{Name: p.Name, OK: true, Detail: detail}
}

// wait returns what the check says, or at the end of ctx that it says nothing.
func (p *probe) wait(ctx context.Context) Result {
	select {
	case result := <-p.answer:
		p.answer = nil
		return result
	case <-ctx.Done():
	}
	// Another check may have used up all the time while this one's answer lay
	// here.
	select {
	case result := <-p.answer:
		p.answer = nil
		return result
	default:
		return Result{Name: p.Name, Detail: fmt.Sprintf("no answer for %v", time.Since(p.since).Round(time.Millisecond))}
	}
}
