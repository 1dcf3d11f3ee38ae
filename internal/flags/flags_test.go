package flags_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"messaging_api/internal/flags"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]struct {
		time.Duration
		shown string
	}{
		"90s": {90 * time.Second, "1m30s"}, "12h": {12 * time.Hour, "12h"}, "7d": {168 * time.Hour, "168h"},
		"1d12h": {36 * time.Hour, "36h"}, "0d": {0, "0s"}, "10m": {10 * time.Minute, "10m"}, "1500ms": {1500 * time.Millisecond, "1.5s"},
		"-1s": {-time.Second, "-1s"}, "20m0s": {20 * time.Minute, "20m"}, "36500d": {36500 * 24 * time.Hour, "876000h"},
	} {
		var got time.Duration
		value := flags.Duration(&got)
		if err := value.Set(text); err != nil || got != want.Duration || value.String() != want.shown {
			t.Errorf("%s: got %v (shown as %s), %v, want %v (%s)", text, got, value, err, want.Duration, want.shown)
		}
	}
	for _, text := range []string{"", "7", "d", "week", "1w", "7d7", "1.5d", "-1d", "36501d", "99999999999999999999d", "1d2d"} {
		got := time.Hour
		if err := flags.Duration(&got).Set(text); err == nil || !strings.HasPrefix(err.Error(), "must be") || got != time.Hour {
			t.Errorf("%q: got %v, error %v, want a refusal that says what it must be", text, got, err)
		}
	}
}

func TestExplain(t *testing.T) {
	for args, want := range map[string]string{
		"--hots=x": "unknown flag: --hots; --help lists the known ones",
		"--n=x":    `--n "x": must be a whole number`,
		"--ttl=1w": `--ttl "1w": must be a number and a unit: s, m, h or d, such as 90s, 12h or 7d`,
		"--kind=c": `--kind "c": must be one of a, b`,
		"--kind":   "flag needs an argument: --kind",
	} {
		f := pflag.NewFlagSet("x", pflag.ContinueOnError)
		f.Int("n", 1, "")
		kind, ttl := "a", time.Hour
		f.Var(flags.OneOf(&kind, "a", "b"), "kind", "")
		f.Var(flags.Duration(&ttl), "ttl", "")
		if got := flags.Explain(f.Parse([]string{args})); got.Error() != want {
			t.Errorf("%s: got %q, want %q", args, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct {
		name     string
		args     []string
		env      []string
		pin      string
		problems []string // in the error
	}{
		{"nothing", nil, nil, "none", nil},
		{"a variable", nil, []string{"X_THE_PIN=a=b", "Y_THE_PIN=c", "PATH=/"}, "a=b", nil},
		{"the flag wins", []string{"--the-pin=flag"}, []string{"X_THE_PIN=env"}, "flag", nil},
		{"an empty one is absent", nil, []string{"X_THE_PIN=", "X_OTHER="}, "none", nil},
		{"unknown ones", nil, []string{"X_B=1", "X_A=1"}, "none", []string{"X_A, X_B"}},
		{"a bad value", nil, []string{"X_KIND=c"}, "none", []string{"X_KIND", `"c"`, "one of a, b"}},
		{"a hidden flag", nil, []string{"X_HELP=true"}, "none", []string{"X_HELP"}},
	} {
		f := pflag.NewFlagSet("x", pflag.ContinueOnError)
		pin := f.String("the-pin", "none", "A pin.")
		kind := "a"
		f.Var(flags.OneOf(&kind, "a", "b"), "kind", "A kind.")
		f.Bool("help", false, "")
		if err := f.MarkHidden("help"); err != nil {
			t.Fatal(err)
		}
		if err := f.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		err := flags.Environment(f, "X_", tc.env)
		if *pin != tc.pin || (err == nil) != (tc.problems == nil) {
			t.Errorf("%s: got %q, %v, want %q and an error with %q", tc.name, *pin, err, tc.pin, tc.problems)
		}
		for _, problem := range tc.problems {
			if err != nil && !strings.Contains(err.Error(), problem) {
				t.Errorf("%s: got %v, want it to name %s", tc.name, err, problem)
			}
		}
		want := "  --kind\n        A kind. [default a; X_KIND]\n  --the-pin\n        A pin. [default none; X_THE_PIN]\n"
		if got := flags.Describe(f, "X_"); got != want {
			t.Errorf("Describe: got\n%s\nwant\n%s", got, want)
		}
	}
}
