package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// answers are what a Prometheus says to a query.
type answers map[string]struct {
	status int
	body   string
}

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := a[r.FormValue("query")]
	if !ok || r.URL.Path != "/api/v1/query_range" || r.FormValue("start") != "1000" || r.FormValue("end") != "1010" || r.FormValue("step") != "1" {
		answer.status = http.StatusTeapot
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.body)
}

func matrix(streams ...string) string {
	return `{"status": "success", "data": {"resultType": "matrix", "result": [` + strings.Join(streams, ",") + `]}}`
}

var prometheus = answers{
	`up{instance=~".*"}`: {200, matrix(`{"metric": {"job": "a"}, "values": [[1001, "1"], [1002, "NaN"], [1003, "3"]]}`,
		`{"metric": {"job": "b"}, "values": [[1001, "NaN"]]}`, `{"metric": {"job": "c"}, "values": [[1000, "0"]]}`)},
	`rate(up[4s])`: {200, matrix(`{"metric": {}, "values": [[1010, "7"]]}`)},
	"empty":        {200, matrix()},
	"no numbers":   {200, matrix(`{"metric": {}, "values": [[1001, "NaN"], [1002, "NaN"]]}`)},
	"misspelt(":    {400, `{"status": "error", "errorType": "bad_data", "error": "parse error: unclosed left parenthesis"}`},
	"1":            {200, `{"status": "success", "data": {"resultType": "scalar", "result": [1001, "1"]}}`},
}

// ask fills a panel with what queries find in an answering Prometheus.
func ask(t *testing.T, kind string, queries ...string) (*panel, error) {
	t.Helper()
	server := httptest.NewServer(prometheus)
	defer server.Close()
	s, err := newSource(server.URL, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p := &panel{Type: kind, Title: "the panel"}
	for _, query := range queries {
		p.Targets = append(p.Targets, target{Expr: query, Legend: "{{job}}"})
	}
	return p, s.fill(t.Context(), &dashboard{Panels: []*panel{p}}, time.Unix(1000, 0), time.Unix(1010, 0))
}

func TestFillKeepsWhatQueriesFind(t *testing.T) {
	p, err := ask(t, "timeseries", `up{instance=~"$instance"}`, "rate(up[$__rate_interval])")
	if err != nil {
		t.Fatal(err)
	}
	want := []series{{"a", []point{{1, 1}, {3, 3}}}, {"c", []point{{0, 0}}}, {"", []point{{10, 7}}}}
	if !slices.EqualFunc(p.series, want, func(a, b series) bool { return a.name == b.name && slices.Equal(a.points, b.points) }) {
		t.Errorf("two queries: got %v, want %v", p.series, want)
	}
}

// That a query which finds nothing does not pass is what the painter is for.
func TestFillSaysWhichQueriesFindNothing(t *testing.T) {
	for query, want := range map[string]string{
		"empty":               "finds nothing",
		"no numbers":          "finds nothing",
		"misspelt(":           "unclosed left parenthesis",
		"1":                   "the answer is a scalar",
		`up{job="$job"}`:      "a variable is not known",
		"rate(up[$interval])": "a variable is not known",
		"not answered":        "418",
	} {
		_, err := ask(t, "timeseries", "rate(up[$__rate_interval])", query)
		if !errors.Is(err, errNoData) {
			t.Errorf("%s: got %v, want %v", query, err, errNoData)
			continue
		}
		for _, part := range []string{want, query, "the panel"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %q, want it to say %q", query, err, part)
			}
		}
	}
	_, err := ask(t, "timeseries", "empty", "misspelt(")
	if err == nil || !strings.Contains(err.Error(), "finds nothing") || !strings.Contains(err.Error(), "unclosed") {
		t.Errorf("two wrong queries: got %v, want both in it", err)
	}
}

// A stat has room for one: of two series the other would be missing.
func TestStatOfSeveralSeries(t *testing.T) {
	if _, err := ask(t, "stat", "rate(up[$__rate_interval])"); err != nil {
		t.Errorf("one series: got %v, want no error", err)
	}
	for _, queries := range [][]string{{`up{instance=~"$instance"}`}, {"rate(up[4s])", "rate(up[$__rate_interval])"}} {
		if _, err := ask(t, "stat", queries...); err == nil || !strings.Contains(err.Error(), "2 series") {
			t.Errorf("%q: got %v, want an error that says 2 series", queries, err)
		}
	}
}
