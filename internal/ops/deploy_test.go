package ops_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/ops"
)

// The files that use the program's metrics.
const (
	rules     = "../../deploy/prometheus/messaging_api.rules.yml"
	rulesTest = "../../deploy/prometheus/messaging_api.rules.test.yml"
	dashboard = "../../deploy/grafana/dashboards/messaging_api.json"
)

func fileText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// allSeries returns the series of every metric.
func allSeries(t testing.TB) map[string]float64 {
	t.Helper()
	s := redisState()
	s.StoreUsed = 1 // zero means unknown
	s.Checks = ops.Report{{Name: "store", OK: true}}
	m := newMetrics(s)
	for _, status := range []int{200, 500, 503, 507, 299} {
		m.Request(create, "HTTP/2.0", status, time.Millisecond)
	}
	return scrape(t, m)
}

var (
	metricName = regexp.MustCompile(`\b(messaging_api|go|process)_[a-z0-9_]+`)
	selector   = regexp.MustCompile(`(\w+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)(=~|!=|=)"([^"]*)"`)
)

// queries returns the PromQL in a file.
func queries(t testing.TB, path string) []string {
	t.Helper()
	text := fileText(t, path)
	if strings.HasSuffix(path, ".yml") {
		// This includes the text of an alert, which names no metric.
		return strings.Split(text, "- alert:")[1:]
	}
	var board any
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return expressions(board)
}

func expressions(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, member := range v {
			all = append(all, expressions(member)...)
		}
	case map[string]any:
		for name, member := range v {
			if text, ok := member.(string); ok && (name == "expr" || name == "query") {
				all = append(all, text)
			}
			all = append(all, expressions(member)...)
		}
	}
	return all
}

// A query for a metric, a label or a value that is not exported never has a result.
func TestQueriesAreOfMetricsThatExist(t *testing.T) {
	series := allSeries(t)
	for _, path := range []string{rules, dashboard} {
		found := 0
		for _, query := range queries(t, path) {
			for _, name := range metricName.FindAllString(query, -1) {
				found++
				if !slices.ContainsFunc(keys(series), func(s string) bool { return s == name || strings.HasPrefix(s, name+"{") }) {
					t.Errorf("%s asks for %s, which is not exported: %s", path, name, query)
				}
			}
			for _, s := range selector.FindAllStringSubmatch(query, -1) {
				for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
					checkMatcher(t, path, s[1], m[1], m[2], m[3], series)
				}
			}
		}
		if found < 15 {
			t.Errorf("%s: %d metrics found, want at least 15: does the test still read the file's format?", path, found)
		}
	}
}

// checkMatcher looks for each alternative of a value among the labels of a metric. The
// labels that Prometheus itself adds are not there.
func checkMatcher(t *testing.T, path, metric, label, op, value string, series map[string]float64) {
	t.Helper()
	if label == "instance" || label == "job" {
		return
	}
	values := []string{value}
	if op == "=~" {
		values = strings.Split(value, "|")
	}
	for _, v := range values {
		want := fmt.Sprintf("%s=%q", label, v)
		if !slices.ContainsFunc(keys(series), func(s string) bool { return strings.HasPrefix(s, metric+"{") && strings.Contains(s, want) }) {
			t.Errorf("%s asks for %s with %s, which is not exported", path, metric, want)
		}
	}
}

func keys(series map[string]float64) (names []string) {
	for name := range series {
		names = append(names, name)
	}
	return names
}

// promtool reads only rules, so each query of the dashboard becomes one.
func TestPromtoolAcceptsTheDashboardsQueries(t *testing.T) {
	promtool := promtoolPath(t)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	var b strings.Builder
	b.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, query := range queries(t, dashboard) {
		if strings.HasPrefix(query, "label_values(") || query == "prometheus" {
			continue // Grafana's own
		}
		fmt.Fprintf(&b, "  - record: query:%d\n    expr: %q\n", i, variables.Replace(query))
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s\n%s", err, out, b.String())
	}
}

// Every metric is on the dashboard.
func TestDashboardShowsEveryMetric(t *testing.T) {
	shown := strings.Join(queries(t, dashboard), "\n")
	for series := range allSeries(t) {
		if strings.HasPrefix(series, "messaging_api_") && !strings.Contains(shown, family(series)) {
			t.Errorf("the dashboard does not show %s", family(series))
		}
	}
}

func TestEachAlertIsTested(t *testing.T) {
	tests := fileText(t, rulesTest)
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(fileText(t, rules), -1)
	if len(alerts) < 10 {
		t.Fatalf("%d alerts found in %s, want at least 10", len(alerts), rules)
	}
	for _, alert := range alerts {
		// The form of an alert that fires.
		if !strings.Contains(tests, "- alertname: "+alert[1]+"\n") {
			t.Errorf("%s: no test has %s fire", rulesTest, alert[1])
		}
	}
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	promtool := promtoolPath(t)
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "messaging_api.rules.test.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = filepath.Dir(filepath.FromSlash(rules))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
