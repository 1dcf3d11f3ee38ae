package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// A report prints the test's tables as they come, and remembers what is wrong.
type report struct {
	out        io.Writer
	table      *tabwriter.Writer
	violations []string
}

func newReport(out io.Writer) *report {
	return &report{out: out, table: tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)}
}

// title ends one table and begins another.
func (r *report) title(text string) {
	_ = r.table.Flush()
	_, _ = fmt.Fprintf(r.out, "\n%s\n", text)
}

func (r *report) row(cells ...any) {
	for _, cell := range cells {
		_, _ = fmt.Fprintf(r.table, "%v\t", cell)
	}
	_, _ = fmt.Fprintln(r.table)
}

// line is a remark under a table.
func (r *report) line(format string, args ...any) {
	_ = r.table.Flush()
	_, _ = fmt.Fprintf(r.out, format+"\n", args...)
}

func (r *report) violation(format string, args ...any) {
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// problems takes over what was wrong with a flow's answers.
func (r *report) problems(f *flow) {
	for _, problem := range slices.Sorted(maps.Keys(f.problems)) {
		r.violation("%s, client %v: %d times: %s", f.budget, f.addr, f.problems[problem], problem)
	}
}

// verdict ends the report.
func (r *report) verdict() error {
	_ = r.table.Flush()
	if len(r.violations) == 0 {
		_, err := fmt.Fprintln(r.out, "\nok: the service keeps to its limits")
		return err
	}
	_, _ = fmt.Fprintf(r.out, "\nviolations:\n  %s\n", strings.Join(r.violations, "\n  "))
	return errViolation
}
