package ops

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// checkTimeout bounds all checks of one report. It is shorter than the timeout of
	// probes, so that the report arrives and names the check that failed.
	checkTimeout = time.Second
	// reportLife is how long a report is kept, so that probes ask the store at most
	// once a second.
	reportLife = time.Second
)

// A Check is one thing without which the service cannot serve.
type Check struct {
	// Name identifies the check in the report: "store", "certificate".
	Name string
	// Run returns nil if all is well, and returns soon after its context ends.
	// The operations listener shows the detail and the error's text, so they must not
	// hold a secret. Calls do not overlap.
	Run func(context.Context) (detail string, err error)
}

// A Result is what one check returned.
type Result struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// A Report holds the results of all checks, in their order.
type Report []Result

// OK reports whether every check passed.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r, func(result Result) bool { return !result.OK })
}

// Readiness runs checks when a report is asked for, one after the other, and keeps the
// report for a second. It is safe for concurrent use.
type Readiness struct {
	checks []Check

	mu    sync.Mutex // guards what follows, and the checks' runs
	last  Report
	until time.Time // when last expires
}

// NewReadiness returns a Readiness over these checks. Without any it is always
// ready.
func NewReadiness(checks ...Check) *Readiness { return &Readiness{checks: checks} }

// Report returns the results of the checks, at most a second old. It takes as long as the
// checks do, which have a second in all.
func (r *Readiness) Report(ctx context.Context) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) {
		return r.last
	}
	// The report is for others too, so that it ignores the cancellation of this probe.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	report := make(Report, len(r.checks))
	for i, check := range r.checks {
		detail, err := check.Run(ctx)
		if err != nil {
			detail = err.Error()
		}
		report[i] = Result{Name: check.Name, OK: err == nil, Detail: detail}
	}
	r.last, r.until = report, time.Now().Add(reportLife)
	return report
}

// ServeHTTP answers with a report: 200 if every check passed, otherwise 503.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	report := r.Report(req.Context())
	status, text := http.StatusOK, "ready"
	if !report.OK() {
		status, text = http.StatusServiceUnavailable, "not ready"
	}
	writeJSON(w, status, struct {
		Status string `json:"status"`
		Checks Report `json:"checks"`
	}{text, report})
}
