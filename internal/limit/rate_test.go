package limit

import (
	"encoding"
	"strings"
	"testing"
	"time"
)

var (
	_ encoding.TextUnmarshaler = (*Rate)(nil)
	_ encoding.TextUnmarshaler = (*Size)(nil)
	_ encoding.TextMarshaler   = Rate{}
	_ encoding.TextMarshaler   = Size(0)
)

func mustRate(t testing.TB, text string) Rate {
	t.Helper()
	r, err := ParseRate(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseRate(t *testing.T) {
	for _, test := range []struct {
		text   string
		want   Rate
		window int64
	}{
		{"off", Rate{}, 0},
		{"1/s:30", Rate{tokens: 1, per: time.Second, burst: 30}, 30},
		{"50/s:100", Rate{tokens: 50, per: time.Second, burst: 100}, 2},
		{"12/m:30", Rate{tokens: 12, per: time.Minute, burst: 30}, 150},
		{"20/s:60", Rate{tokens: 20, per: time.Second, burst: 60}, 3},
		{"7/s:30", Rate{tokens: 7, per: time.Second, burst: 30}, 5}, // 4.28…, rounded up
		{"1/h:1", Rate{tokens: 1, per: time.Hour, burst: 1}, 3600},
		{"1000/d:1", Rate{tokens: 1000, per: 24 * time.Hour, burst: 1}, 87}, // 86.4
		{"1000000/s:1", Rate{tokens: 1_000_000, per: time.Second, burst: 1}, 1},
		{"999999999999999/s:1000000", Rate{tokens: 999_999_999_999_999, per: time.Second, burst: 1_000_000}, 1},
		{"1/d:999999999999999", Rate{tokens: 1, per: 24 * time.Hour, burst: maxCount}, maxCount}, // as long as a field can say
		{"64KiB/s:4MiB", Rate{tokens: 64 << 10, per: time.Second, burst: 4 << 20}, 64},
		{"100kB/s:1MB", Rate{tokens: 100_000, per: time.Second, burst: 1_000_000}, 10},
		{"1GiB/d:10GiB", Rate{tokens: 1 << 30, per: 24 * time.Hour, burst: 10 << 30}, 864_000},
	} {
		got, err := ParseRate(test.text)
		if got.String() != test.text {
			t.Errorf("ParseRate(%q).String() = %q", test.text, got.String())
		}
		if got.text = ""; err != nil || got != test.want {
			t.Errorf("ParseRate(%q) = %+v, %v, want %+v", test.text, got, err, test.want)
		}
		if got.Window() != test.window {
			t.Errorf("ParseRate(%q).Window() = %d, want %d", test.text, got.Window(), test.window)
		}
		if got.Off() != (test.text == "off") || got.Burst() != test.want.burst {
			t.Errorf("ParseRate(%q): off %v, burst %d", test.text, got.Off(), got.Burst())
		}
	}
}

// An error has to tell the operator which value it was, and what was expected.
func TestParseRateRefuses(t *testing.T) {
	for text, rule := range map[string]string{
		"":                         "burst is missing",
		"1/s":                      "burst is missing",
		"30":                       "burst is missing",
		"30:1":                     "unit is missing",
		"OFF":                      "burst is missing",
		"1/x:30":                   "unit must be",
		"1/:30":                    "unit must be",
		"1/ms:30":                  "unit must be",
		"1/S:30":                   "unit must be",
		"1/s :30":                  "unit must be",
		"1/s/s:30":                 "unit must be",
		"/s:30":                    "the rate must be a whole number",
		"0/s:30":                   "the rate must be from 1",
		"-1/s:30":                  "the rate must be a whole number",
		"+1/s:30":                  "the rate must be a whole number",
		"1.5/s:30":                 "the rate must be a whole number",
		"1_0/s:30":                 "the rate must be a whole number",
		" 1/s:30":                  "the rate must be a whole number",
		"64KB/s:4MiB":              "the rate must be a whole number, then KiB",
		"64KiB/s:4 MiB":            "the burst must be a whole number, then KiB",
		"1.5MiB/s:4MiB":            "the rate must be",
		"KiB/s:4MiB":               "the rate must be a whole number",
		"0KiB/s:4MiB":              "the rate must be from 1",
		"1KiB/s:9999999999GiB":     "the burst must be from 1 to 999999999999999",
		"1/s:":                     "the burst must be a whole number",
		"1/s:0":                    "the burst must be from 1",
		"1/s:30 ":                  "the burst must be a whole number",
		"1/s:30:30":                "the burst must be a whole number",
		"1/s:1e3":                  "the burst must be a whole number",
		"1/s:1000000000000000":     "the burst must be from 1 to 999999999999999",
		"1/s:99999999999999999999": "the burst must be from 1",
	} {
		got, err := ParseRate(text)
		if err == nil {
			t.Errorf("ParseRate(%q) = %+v, want an error", text, got)
			continue
		}
		if !strings.Contains(err.Error(), `"`+text+`"`) || !strings.Contains(err.Error(), rule) {
			t.Errorf("ParseRate(%q): error %q, want it to name the input and %q", text, err, rule)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"1": 1, "256KiB": 256 << 10, "1MiB": 1 << 20, "3GiB": 3 << 30, "1kB": 1000, "2MB": 2_000_000, "1000": 1000,
	} {
		var got, back Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("UnmarshalText(%q): got %d, %v, want %d", text, got, err, want)
		}
		if err := back.UnmarshalText([]byte(got.String())); err != nil || back != got {
			t.Errorf("%q is written as %s, which reads as %d, %v", text, got, back, err)
		}
	}
	for _, text := range []string{"", "0", "KiB", "1kib", "1 KiB", "1KiBs", "-1", "1.0KiB", "1TiB", "999999999999999KiB"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("UnmarshalText(%q): got %v, want an error that names it", text, err)
		}
	}
	if got := Size(0).String(); got != "0" {
		t.Errorf("Size(0).String() = %q, want 0", got)
	}
}

func TestTextOfRates(t *testing.T) {
	var r Rate
	var s Size
	for text, value := range map[string]interface {
		encoding.TextUnmarshaler
		encoding.TextMarshaler
	}{"12/m:30": &r, "256KiB": &s} {
		if err := value.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("UnmarshalText(%q): %v", text, err)
		}
		if got, err := value.MarshalText(); err != nil || string(got) != text {
			t.Errorf("MarshalText after %q: got %q, %v", text, got, err)
		}
		if err := value.UnmarshalText([]byte("x")); err == nil {
			t.Errorf("UnmarshalText(x) into %T: got no error", value)
		}
	}
}

// A rate that is accepted is the same after it is written and read again, and its
// figures do not overflow.
func FuzzParseRate(f *testing.F) {
	for _, text := range []string{"off", "1/s:30", "12/m:30", "64KiB/s:4MiB", "999999999999999/d:999999999999999", "7MiB/d:1GiB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRate(text); err == nil {
			if back, err := ParseRate(r.String()); err != nil || back != r {
				t.Errorf("ParseRate(%q) = %v, which reads as %v, %v", text, r, back, err)
			}
			checkBounds(t, r)
		}
	})
}

func checkBounds(t *testing.T, r Rate) {
	if r.Off() {
		return
	}
	if w := r.Window(); w < 1 || w > maxCount {
		t.Errorf("%v: a window of %d", r, w)
	}
	for _, tokens := range []float64{-1e18, -1, 0, 0.5, float64(r.burst)} {
		d := r.decide(Cost{Budget: Create, N: r.burst}, tokens)
		for _, n := range []int64{d.Reset, d.RetryAfter} {
			if n < 1 && !d.Allowed || n > maxCount {
				t.Errorf("%v, with %v tokens: %+v", r, tokens, d)
			}
		}
		if d.Remaining < 0 || d.Remaining > r.burst {
			t.Errorf("%v, with %v tokens: %+v", r, tokens, d)
		}
	}
}
