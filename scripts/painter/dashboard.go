package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// A dashboard is as much of Grafana's file as is drawn. A panel or a value that would
// be missing in silence is an error (see check); how Grafana is told to draw, such as
// a line's width, is not looked at.
type dashboard struct {
	Title  string   `json:"title"`
	Panels []*panel `json:"panels"`
}

type panel struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	Place struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Field struct {
		Defaults struct {
			Unit       string `json:"unit"`
			Thresholds struct {
				Steps []threshold `json:"steps"`
			} `json:"thresholds"`
			Mappings []struct {
				Options map[string]struct {
					Text string `json:"text"`
				} `json:"options"`
			} `json:"mappings"`
		} `json:"defaults"`
		Overrides []any `json:"overrides"`
	} `json:"fieldConfig"`
	Options struct {
		TextMode string `json:"textMode"`
	} `json:"options"`
	Targets []target `json:"targets"`
	Panels  []any    `json:"panels"` // of a row that is folded

	series []series
}

type target struct {
	Expr   string `json:"expr"`
	Legend string `json:"legendFormat"`
}

type threshold struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"` // none: from the lowest on
}

// A series is what a query has found under one legend: values over seconds since the
// beginning.
type series struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

func readDashboard(file string) (*dashboard, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	d := new(dashboard)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, p := range d.Panels {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s: panel %q: %w", file, p.Title, err)
		}
	}
	if len(d.Panels) == 0 {
		return nil, fmt.Errorf("%s: holds no panel", file)
	}
	return d, nil
}

// check says what of a panel cannot be drawn.
func (p *panel) check() error {
	unit := p.Field.Defaults.Unit
	switch {
	case len(p.Panels) > 0:
		return errors.New("holds panels: unfold it")
	case p.Type == "row":
		return nil
	case p.Type != "stat" && p.Type != "timeseries":
		return fmt.Errorf("the type %q is not known", p.Type)
	case units[unit] == nil:
		return fmt.Errorf("the unit %q is not known", unit)
	case len(p.Field.Overrides) > 0:
		return errors.New("overrides are not known")
	case len(p.Targets) == 0:
		return errors.New("asks for nothing")
	}
	for _, step := range p.Field.Defaults.Thresholds.Steps {
		if named[step.Color] == nil {
			return fmt.Errorf("the colour %q is not known", step.Color)
		}
	}
	return nil
}

// stat returns what a panel of that type shows, and the name of its colour.
func (p *panel) stat() (text, color string) {
	last := p.series[0].points[len(p.series[0].points)-1].y
	for _, step := range p.Field.Defaults.Thresholds.Steps {
		if step.Value == nil || last >= *step.Value {
			color = step.Color
		}
	}
	if p.Options.TextMode == "name" {
		return p.series[0].name, color
	}
	for _, mapping := range p.Field.Defaults.Mappings {
		if option, ok := mapping.Options[strconv.FormatFloat(last, 'f', -1, 64)]; ok {
			return option.Text, color
		}
	}
	return units[p.Field.Defaults.Unit](last), color
}
