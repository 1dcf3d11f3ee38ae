package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// A dashboard is as much of Grafana's file as is drawn. What is not known here, a
// panel's type or a unit, is an error: it would otherwise be missing in silence.
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
	} `json:"fieldConfig"`
	Options struct {
		TextMode string `json:"textMode"`
	} `json:"options"`
	Targets []target `json:"targets"`

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
		unit := p.Field.Defaults.Unit
		switch {
		case p.Type == "row":
			continue
		case p.Type != "stat" && p.Type != "timeseries":
			return nil, fmt.Errorf("%s: panel %q: the type %q is not known", file, p.Title, p.Type)
		case units[unit] == nil:
			return nil, fmt.Errorf("%s: panel %q: the unit %q is not known", file, p.Title, unit)
		case len(p.Targets) == 0:
			return nil, fmt.Errorf("%s: panel %q: asks for nothing", file, p.Title)
		}
	}
	if len(d.Panels) == 0 {
		return nil, fmt.Errorf("%s: holds no panel", file)
	}
	return d, nil
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
