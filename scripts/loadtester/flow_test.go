package main

import (
	"net/http"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

func creator() *flow {
	return &flow{budget: "create", policy: policy{quota: 30, window: 30}, cost: 1, good: http.StatusOK}
}

// fields are those of an answer in due form, changed in pairs of name and value;
// an empty value takes a field away.
func fields(changes ...string) http.Header {
	h := http.Header{}
	h.Set("RateLimit-Policy", `"create";q=30;w=30`)
	h.Set("RateLimit", `"create";r=0;t=1`)
	h.Set("Retry-After", "1")
	h.Set("Content-Type", "application/problem+json")
	for i := 0; i < len(changes); i += 2 {
		if h.Del(changes[i]); changes[i+1] != "" {
			h.Set(changes[i], changes[i+1])
		}
	}
	return h
}

func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		code   uint16
		header http.Header
		want   outcome
	}{
		"accepted":                  {200, fields(), accepted},
		"refused":                   {429, fields(), refused},
		"two budgets":               {200, fields("RateLimit-Policy", `"create";q=30;w=30, "bytes";q=9;qu="content-bytes";w=3`, "RateLimit", `"create";r=0;t=1, "bytes";r=9;t=1`), accepted},
		"no answer":                 {0, http.Header{}, failed},
		"busy":                      {503, fields(), failed},
		"no Retry-After":            {429, fields("Retry-After", ""), failed},
		"Retry-After at once":       {429, fields("Retry-After", "0"), failed},
		"Retry-After a date":        {429, fields("Retry-After", "Tue, 24 Nov 2026 07:00:00 GMT"), failed},
		"no policy":                 {429, fields("RateLimit-Policy", ""), failed},
		"no limit":                  {429, fields("RateLimit", ""), failed},
		"no limit on a good one":    {200, fields("RateLimit", ""), failed},
		"another policy":            {200, fields("RateLimit-Policy", `"create";q=31;w=30`), failed},
		"another budget":            {200, fields("RateLimit", `"read";r=0;t=1`), failed},
		"more left than there were": {200, fields("RateLimit", `"create";r=31;t=1`), failed},
		"no structured field":       {429, fields("RateLimit", "limit=30, remaining=0"), failed},
		"not a problem":             {429, fields("Content-Type", "text/html"), failed},
	} {
		if got := creator().judge(&vegeta.Result{Code: tt.code, Headers: tt.header}); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

// Thirty seconds at one a second on top of a burst of thirty are sixty.
func TestExact(t *testing.T) {
	for n, want := range map[int]bool{0: false, 30: false, 58: false, 59: true, 60: true, 61: true, 62: false, 120: false} {
		f := creator()
		for i := range 121 {
			s := sample{at: time.Unix(0, 0).Add(time.Duration(i) * 250 * time.Millisecond), outcome: refused}
			if i < n {
				s.outcome = accepted
			}
			f.samples = append(f.samples, s)
		}
		if got := f.exact(); got != want {
			t.Errorf("%d accepted of %v allowed: got %t, want %t", n, f.allowed(), got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for target, want := range map[string]bool{
		"https://127.0.0.1:8443/": true, "https://127.9.9.9:1/": true, "https://192.0.2.1:8443/": false,
		"https://localhost:8443/": false, "https://127.0.0.1.example/": false, "http://127.0.0.1:8443/": false,
	} {
		if _, err := parse([]string{target}, t.Output()); (err == nil) != want {
			t.Errorf("%s: got %v, want allowed %t", target, err, want)
		}
	}
	for _, from := range []string{"2001:db8::/64", "127.0.0.0/28", "x"} {
		if _, err := parse([]string{"--from", from, "https://127.0.0.1:8443/"}, t.Output()); err == nil {
			t.Errorf("--from %s: got no error", from)
		}
	}
	if _, err := parse([]string{"--elsewhere", "https://192.0.2.1:8443/"}, t.Output()); err != nil {
		t.Errorf("--elsewhere: %v", err)
	}
}

func TestHelpIsNoError(t *testing.T) {
	if err := run(t.Context(), []string{"--help"}, t.Output(), t.Output()); err != nil {
		t.Errorf("--help: got %v, want no error", err)
	}
}
