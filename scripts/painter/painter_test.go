package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

func TestUnits(t *testing.T) {
	for _, tc := range []struct {
		unit  string
		value float64
		want  string
	}{
		{"short", 0, "0"},
		{"short", 1234, "1.23 K"},
		{"short", -1234, "-1.23 K"},
		{"short", 1e9, "1 Bil"},
		{"short", 2e16, "20000 Tri"},
		{"reqps", 0.6667, "0.667 req/s"},
		{"reqps", 1500, "1.5K req/s"},
		{"ops", 2.5e6, "2.5M ops/s"},
		{"cps", 999, "999 c/s"},
		{"percentunit", 0.0123, "1.23%"},
		{"bytes", 1536, "1.5 KiB"},
		{"bytes", 64 << 30, "64 GiB"},
		{"Bps", 1536, "1.54 kB/s"},
		{"s", 0.0000005, "500 ns"},
		{"s", 0.0000015, "1.5 µs"},
		{"s", 0.25, "250 ms"},
		{"s", 90, "1.5 mins"},
		{"s", 397 * 86400, "1.09 years"},
	} {
		if got := units[tc.unit](tc.value); got != tc.want {
			t.Errorf("%v in %s: got %q, want %q", tc.value, tc.unit, got, tc.want)
		}
	}
}

func TestTicksAreRoundInTheirUnit(t *testing.T) {
	for _, tc := range []struct {
		high float64
		unit string
		want string
	}{
		{1, "short", "0 0.2 0.4 0.6 0.8 1"},
		{34, "short", "0 10 20 30"},
		{190 << 20, "bytes", "0 B, 50 MiB, 100 MiB, 150 MiB"},
		{64 << 30, "bytes", "0 B, 20 GiB, 40 GiB, 60 GiB"},
		{0.0025, "s", "0 s, 500 µs, 1 ms, 1.5 ms, 2 ms, 2.5 ms"},
	} {
		var labels []string
		for _, tick := range few(0, tc.high, tc.unit) {
			labels = append(labels, tick.Label)
		}
		separator := " "
		if strings.Contains(tc.want, ",") {
			separator = ", "
		}
		if got := strings.Join(labels, separator); got != tc.want {
			t.Errorf("ticks up to %v %s: got %q, want %q", tc.high, tc.unit, got, tc.want)
		}
	}
}

func TestLegend(t *testing.T) {
	metric := model.Metric{"op": "put", "outcome": "ok"}
	for format, want := range map[string]string{
		"{{op}} {{ outcome }}": "put ok",
		"{{nothing}} 50 %":     " 50 %",
		"open":                 "open",
		"":                     `{op="put", outcome="ok"}`,
	} {
		if got := legend(format, metric); got != want {
			t.Errorf("legend %q: got %q, want %q", format, got, want)
		}
	}
}

func TestStatShowsTheLastValueInItsColour(t *testing.T) {
	low, high := 0.0, 1.0
	p := &panel{series: []series{{name: "v1", points: []point{{0, 0}, {1, 1}}}}}
	p.Field.Defaults.Unit = "short"
	p.Field.Defaults.Thresholds.Steps = []threshold{{"red", nil}, {"orange", &low}, {"green", &high}}
	if text, color := p.stat(); text != "1" || color != "green" {
		t.Errorf("stat of 1: got %q in %q", text, color)
	}
	p.Options.TextMode = "name"
	if text, _ := p.stat(); text != "v1" {
		t.Errorf("stat by name: got %q", text)
	}
}

func TestGapsStayGaps(t *testing.T) {
	for name, tc := range map[string]struct {
		at   []float64
		step time.Duration
		want []int // points of each part
	}{
		"none":                {[]float64{0, 1, 2, 3}, time.Second, []int{4}},
		"one value missing":   {[]float64{0, 1, 3, 4}, time.Second, []int{4}},
		"two values missing":  {[]float64{0, 1, 4, 5}, time.Second, []int{2, 2}},
		"mostly gaps":         {[]float64{0, 1, 20, 21, 40}, time.Second, []int{2, 2, 1}},
		"every minute":        {[]float64{0, 60, 120, 300}, time.Minute, []int{3, 1}},
		"two values, far off": {[]float64{0, 30}, time.Second, []int{1, 1}},
		"no value":            {nil, time.Second, nil},
	} {
		var points []point
		for _, x := range tc.at {
			points = append(points, point{x, 1})
		}
		var got []int
		for _, part := range unbroken(points, tc.step) {
			got = append(got, len(part))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got parts of %v points, want %v", name, got, tc.want)
		}
	}
}

// What the painter does not know it must not leave out in silence.
func TestUnknownPanelsAreErrors(t *testing.T) {
	const targets = `"targets": [{"expr": "x"}]`
	for panels, want := range map[string]string{
		``: "holds no panel",
		`{"type": "heatmap", ` + targets + `, "fieldConfig": {"defaults": {"unit": "s"}}}`:                                            `type "heatmap"`,
		`{"type": "stat", ` + targets + `, "fieldConfig": {"defaults": {"unit": "furlongs"}}}`:                                        `unit "furlongs"`,
		`{"type": "stat", "fieldConfig": {"defaults": {"unit": "s"}}}`:                                                                "asks for nothing",
		`{"type": "row", "collapsed": true, "panels": [{"type": "stat", "title": "nested"}]}`:                                         "unfold",
		`{"type": "stat", ` + targets + `, "fieldConfig": {"defaults": {"unit": "s"}, "overrides": [{"a": 1}]}}`:                      "overrides",
		`{"type": "stat", ` + targets + `, "fieldConfig": {"defaults": {"unit": "s", "thresholds": {"steps": [{"color": "puce"}]}}}}`: `colour "puce"`,
		`{"type": "row", "panels": []}, {"type": "stat", ` + targets + `, "fieldConfig": {"defaults": {"unit": "s"}}}`:                "",
	} {
		file := filepath.Join(t.TempDir(), "dashboard.json")
		if err := os.WriteFile(file, []byte(`{"panels": [`+panels+`]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readDashboard(file)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: got %v, want no error", panels, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want it to say %q", panels, err, want)
		}
	}
}
