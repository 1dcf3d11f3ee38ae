package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// A source is a Prometheus, asked as Grafana would ask it.
type source struct {
	api       v1.API
	step      time.Duration
	variables *strings.Replacer
}

func newSource(url string, scrape time.Duration) (*source, error) {
	client, err := api.NewClient(api.Config{Address: url})
	if err != nil {
		return nil, err
	}
	return &source{
		api:  v1.NewAPI(client),
		step: scrape,
		// Grafana's rate interval is four scrapes; its "All" is the dashboard's allValue.
		variables: strings.NewReplacer("$__rate_interval", (4 * scrape).String(), "$instance", ".*"),
	}, nil
}

// fill asks every query of the dashboard for that time, and says of all at once which
// fail or find nothing.
func (s *source) fill(ctx context.Context, d *dashboard, start, end time.Time) error {
	span := v1.Range{Start: start, End: end, Step: s.step}
	var wrong []error
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			found, err := s.ask(ctx, t, span)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%w: panel %q: %s: %w", errNoData, p.Title, t.Expr, err))
			}
			p.series = append(p.series, found...)
		}
		if p.Type == "stat" && len(p.series) > 1 {
			wrong = append(wrong, fmt.Errorf("panel %q: is a stat of %d series, of which one can be drawn", p.Title, len(p.series)))
		}
	}
	return errors.Join(wrong...)
}

func (s *source) ask(ctx context.Context, t target, span v1.Range) ([]series, error) {
	query := s.variables.Replace(t.Expr)
	if strings.Contains(query, "$") {
		return nil, errors.New("a variable is not known")
	}
	value, _, _, err := s.api.QueryRange(ctx, query, span)
	if err != nil {
		return nil, err
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("the answer is a %v", value.Type())
	}
	var all []series
	for _, stream := range matrix {
		one := series{name: legend(t.Legend, stream.Metric)}
		for _, sample := range stream.Values {
			// No requests, no latency: Grafana leaves a gap there too.
			if y := float64(sample.Value); !math.IsNaN(y) {
				one.points = append(one.points, point{sample.Timestamp.Time().Sub(span.Start).Seconds(), y})
			}
		}
		if len(one.points) > 0 {
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("finds nothing")
	}
	return all, nil
}

var label = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// legend fills in a metric's labels; without a format it is the metric.
func legend(format string, metric model.Metric) string {
	if format == "" {
		return metric.String()
	}
	return label.ReplaceAllStringFunc(format, func(found string) string {
		return string(metric[model.LabelName(label.FindStringSubmatch(found)[1])])
	})
}
