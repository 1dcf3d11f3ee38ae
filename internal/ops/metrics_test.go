package ops_test

import (
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/ops"
)

const (
	create = "POST /{$}"
	read   = "GET /msg/{id}"
)

func newMetrics(s *ops.State) *ops.Metrics {
	m := ops.NewMetrics(ops.MetricsConfig{
		Version: "1.2.3", Revision: "abc",
		Routes: []string{create, read},
		Events: []string{"opened"}, Limits: []string{"create", "read", "miss", "bytes"}, Shed: "in-flight",
		Admissions: []string{"conns", "conns-per-client"},
		StoreCalls: []string{"get", "put", "swap"}, StoreOutcomes: []string{"ok", "not_found", "exists", "full", "unavailable", "conflict", "failed"},
	})
	m.Watch(func() ops.State { return *s })
	return m
}

// redisState is the state of a service with a Redis store and a certificate to come.
func redisState() *ops.State {
	return &ops.State{Pool: new(ops.Pool), Certificates: map[string]time.Time{"a.example": {}, "b.example": {}}}
}

// scrape returns the value of each series.
func scrape(t testing.TB, m *ops.Metrics) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("a scrape: got %d %s", w.Code, w.Body)
	}
	series := make(map[string]float64)
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Fatalf("a scrape has the line %q: %v", line, err)
		}
		series[line[:at]] = value
	}
	return series
}

// Each cause changes its metrics and no others.
func TestMetricsChangeWithTheirCause(t *testing.T) {
	s := redisState()
	m := newMetrics(s)
	covered := make(map[string]bool)
	for _, tc := range []struct {
		name  string
		cause func()
		want  map[string]float64 // what is added to what
	}{
		{"a request", func() { m.Request(read, "HTTP/2.0", 200, 20*time.Millisecond) }, map[string]float64{
			`http_requests_total{protocol="HTTP/2.0",route="GET /msg/{id}",status="200"}`: 1,
			`http_request_duration_seconds_count{route="GET /msg/{id}"}`:                  1,
			`http_request_duration_seconds_sum{route="GET /msg/{id}"}`:                    0.02,
			`http_request_duration_seconds_bucket{route="GET /msg/{id}",le="0.025"}`:      1,
			`http_request_duration_seconds_bucket{route="GET /msg/{id}",le="+Inf"}`:       1,
			`http_request_duration_seconds_bucket{route="GET /msg/{id}",le="15"}`:         1,
		}},
		{"the same again", func() { m.Request(read, "HTTP/2.0", 200, 20*time.Millisecond) }, map[string]float64{
			`http_requests_total{protocol="HTTP/2.0",route="GET /msg/{id}",status="200"}`: 1,
			`http_request_duration_seconds_count{route="GET /msg/{id}"}`:                  1,
		}},
		{"one over HTTP/1.1", func() { m.Request(create, "HTTP/1.1", 429, 0) }, map[string]float64{
			`http_requests_total{protocol="HTTP/1.1",route="POST /{$}",status="429"}`: 1,
			`http_request_duration_seconds_count{route="POST /{$}"}`:                  1,
		}},
		{"an unknown one", func() { m.Request("", "HTTP/9.9", 299, 0) }, map[string]float64{
			`http_requests_total{protocol="other",route="other",status="other"}`: 1,
			`http_request_duration_seconds_count{route="other"}`:                 1,
		}},
		{"a refusal", func() { m.Refused("bytes") }, map[string]float64{`limit_refusals_total{limit="bytes"}`: 1}},
		{"one by a limit unheard of", func() { m.Refused("x") }, map[string]float64{`limit_refusals_total{limit="other"}`: 1}},
		{"too busy", func() { m.Refused("in-flight") }, map[string]float64{`http_requests_shed_total`: 1}},
		{"in flight", func() { s.InFlight = 7 }, map[string]float64{`http_requests_in_flight`: 7}},
		{"clients", func() { s.Clients, s.Overflows = 5, 3 }, map[string]float64{`limit_clients`: 5, `limit_overflow_total`: 3}},
		{"shared limits", func() { s.Fallbacks = 2 }, map[string]float64{`limit_fallbacks_total`: 2}},
		{"a connection", m.Accepted, map[string]float64{`connections_total`: 1}},
		{"one turned away", func() { m.ConnectionRefused("conns") }, map[string]float64{`connections_refused_total{limit="conns"}`: 1}},
		{"open connections", func() { s.Connections = 9 }, map[string]float64{`connections_open`: 9}},
		{"a handshake", func() { m.Handshake(tls.VersionTLS13, true) }, map[string]float64{`tls_handshakes_total{resumed="true",version="1.3"}`: 1}},
		{"another", func() { m.Handshake(tls.VersionTLS12, false) }, map[string]float64{`tls_handshakes_total{resumed="false",version="1.2"}`: 1}},
		{"an old one", func() { m.Handshake(tls.VersionTLS10, false) }, map[string]float64{`tls_handshakes_total{resumed="false",version="other"}`: 1}},
		{"a failed one", func() { m.HandshakeFailed("EOF") }, map[string]float64{`tls_handshake_failures_total{reason="closed"}`: 1}},
		{"a put", func() { m.StoreCall("put", "ok", time.Millisecond) }, map[string]float64{
			`store_calls_total{op="put",outcome="ok"}`:           1,
			`store_duration_seconds_count{op="put"}`:             1,
			`store_duration_seconds_sum{op="put"}`:               0.001,
			`store_duration_seconds_bucket{op="put",le="0.001"}`: 1,
		}},
		{"a get", func() { m.StoreCall("get", "unavailable", 0) }, map[string]float64{
			`store_calls_total{op="get",outcome="unavailable"}`: 1,
			`store_duration_seconds_count{op="get"}`:            1,
		}},
		{"the pool", func() { s.Pool = &ops.Pool{Open: 4, Idle: 3, Timeouts: 2} }, map[string]float64{
			`store_connections_open`: 4, `store_connections_idle`: 3, `store_connection_timeouts_total`: 2,
		}},
		{"room", func() { s.StoreUsed, s.StoreLimit = 100, 200 }, map[string]float64{`store_used_bytes`: 100, `store_limit_bytes`: 200}},
		{"a write", func() { s.Writable = true }, map[string]float64{`store_writable`: 1}},
		{"a text", func() { m.ReadText(50) }, map[string]float64{`messages_read_bytes_total`: 50}},
		{"a message", func() { m.Created(30) }, map[string]float64{`messages_created_total`: 1, `messages_created_bytes_total`: 30}},
		{"a reader", func() { m.Read(20) }, map[string]float64{`messages_read_total`: 1, `messages_read_bytes_total`: 20}},
		{"an opening", func() { m.Message("opened") }, map[string]float64{`message_events_total{event="opened"}`: 1}},
		{"an event unheard of", func() { m.Message("x") }, map[string]float64{`message_events_total{event="other"}`: 1}},
		{"a lost comparison", func() { m.StoreCall("swap", "conflict", 0) }, map[string]float64{
			`store_calls_total{op="swap",outcome="conflict"}`: 1,
			`store_duration_seconds_count{op="swap"}`:         1,
		}},
		{"a guess", m.Missed, map[string]float64{`messages_missed_total`: 1}},
		{"a certificate", func() { s.Certificates["a.example"] = time.Unix(1e9, 0) }, map[string]float64{`certificate_expiry_timestamp_seconds{name="a.example"}`: 1e9}},
		{"a proxy that names no client", func() { s.Unforwarded = 2 }, map[string]float64{`unforwarded_requests_total`: 2}},
		{"a check", func() { s.Checks = ops.Report{{Name: "store", OK: true}} }, map[string]float64{`check_ok{check="store"}`: 1}},
		{"a clock that was set", func() { s.Pool, s.ClockJumps = nil, 3 }, map[string]float64{
			`store_clock_jumps_total`: 3,
			`store_connections_open`:  -4, `store_connections_idle`: -3, `store_connection_timeouts_total`: -2, // not of an embedded store
		}},
		{"a lost line", func() { s.LostLines = 8 }, map[string]float64{`log_lines_lost_total`: 8}},
	} {
		before := scrape(t, m)
		tc.cause()
		after := scrape(t, m)
		expected := make(map[string]bool) // families that may change
		for series, added := range tc.want {
			full := "messaging_api_" + series
			if got := after[full] - before[full]; got < added-1e-9 || got > added+1e-9 {
				t.Errorf("%s: %s went from %v to %v, want %v more", tc.name, full, before[full], after[full], added)
			}
			expected[family(full)], covered[family(full)] = true, true
		}
		for series, value := range after {
			if ours(series) && !expected[family(series)] && value != before[series] {
				t.Errorf("%s: %s went from %v to %v, want no change", tc.name, series, before[series], value)
			}
		}
	}
	for series := range scrape(t, m) {
		if ours(series) && !covered[family(series)] {
			t.Errorf("%s: no cause is known here", series)
		}
	}
}

// family returns the name of the metric that a series belongs to.
func family(series string) string {
	name, _, _ := strings.Cut(series, "{")
	for _, part := range []string{"_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, part)
	}
	return name
}

// ours reports whether a series is of this service and can change.
func ours(series string) bool {
	return strings.HasPrefix(series, "messaging_api_") && family(series) != "messaging_api_build_info"
}

// Series exist from the start: Prometheus does not see the first increase of a series
// that appears with it.
func TestMetricsBeginAtZero(t *testing.T) {
	got := scrape(t, newMetrics(redisState()))
	for _, series := range []string{
		`limit_refusals_total{limit="create"}`, `connections_refused_total{limit="conns-per-client"}`,
		`tls_handshake_failures_total{reason="timeout"}`, `store_calls_total{op="put",outcome="full"}`,
		`messages_created_total`, `log_lines_lost_total`, `http_request_duration_seconds_count{route="POST /{$}"}`,
	} {
		if value, ok := got["messaging_api_"+series]; !ok || value != 0 {
			t.Errorf("%s: got %v, there: %v, want 0", series, value, ok)
		}
	}
	if got[`messaging_api_certificate_expiry_timestamp_seconds{name="b.example"}`] != 0 {
		t.Error("the certificate that does not exist yet has an expiry")
	}
	build := fmt.Sprintf(`messaging_api_build_info{goversion=%q,revision="abc",version="1.2.3"}`, runtime.Version())
	if got[build] != 1 {
		t.Errorf("%s is not there", build)
	}
	if got["go_goroutines"] == 0 || got["process_open_fds"] == 0 {
		t.Error("Go's own figures are not there")
	}
}

func TestMetricsHaveChecks(t *testing.T) {
	ready := ops.NewReadiness(ops.Check{Name: "store", Run: fail}, ops.Check{Name: "certificate", Run: pass})
	got := scrape(t, newMetrics(&ops.State{Checks: ready.Report(t.Context())}))
	if store, certificate := got[`messaging_api_check_ok{check="store"}`], got[`messaging_api_check_ok{check="certificate"}`]; store != 0 || certificate != 1 {
		t.Errorf("a failing and a passing check: got %v and %v, want 0 and 1", store, certificate)
	}
}

// Nothing that a client sends makes a series.
func TestMetricsDoNotGrow(t *testing.T) {
	m := newMetrics(redisState())
	exercise := func(n int) {
		x := strconv.Itoa(n)
		m.Request("GET /"+x, "HTTP/"+x, n, time.Duration(n)*time.Millisecond)
		m.Refused(x)
		m.ConnectionRefused(x)
		m.HandshakeFailed("tls: " + x)
		m.Handshake(uint16(n), n%2 == 0)
	}
	for n := range 1000 { // all statuses that there are
		exercise(n)
	}
	before := len(scrape(t, m))
	for n := range 10_000 {
		exercise(1000 + n)
	}
	if after := len(scrape(t, m)); after != before {
		t.Errorf("10,000 strange requests took the series from %d to %d", before, after)
	}
}

// promtool checks the names and help texts of metrics.
func TestPromtoolAcceptsTheMetrics(t *testing.T) {
	s := redisState()
	s.Checks = ops.Report{{Name: "store", OK: true}}
	m := newMetrics(s)
	m.Request(read, "HTTP/2.0", 200, time.Millisecond)
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	promtool := exec.CommandContext(t.Context(), promtoolPath(t), "check", "metrics")
	promtool.Stdin = w.Body
	if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func promtoolPath(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		why := "NOT TESTED: promtool, of Debian's package prometheus, is not installed"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return path
}

func BenchmarkRequest(b *testing.B) {
	m := newMetrics(redisState())
	b.ReportAllocs()
	for b.Loop() {
		m.Request(read, "HTTP/2.0", 200, 700*time.Microsecond)
	}
}

func BenchmarkRead(b *testing.B) { // all that a read counts
	m := newMetrics(redisState())
	b.ReportAllocs()
	for b.Loop() {
		m.StoreCall("get", "ok", 300*time.Microsecond)
		m.Read(100)
		m.Request(read, "HTTP/2.0", 200, 700*time.Microsecond)
	}
}
