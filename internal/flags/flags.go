// Package flags sets a program's flags from its environment, describes them, and has the
// types of flags that the commands share.
package flags

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Variable returns the name of a flag's environment variable: the prefix, then the flag in
// upper case with '_' for '-'.
func Variable(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Environment sets the flags that the command line did not set. An empty variable counts
// as absent, so that a compose file can pass it on in any case. A variable with the prefix
// but without a flag is an error: it would do nothing.
func Environment(f *pflag.FlagSet, prefix string, env []string) error {
	values := make(map[string]string)
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, prefix) && value != "" {
			values[name] = value
		}
	}
	var bad error
	f.VisitAll(func(flag *pflag.Flag) {
		name := Variable(prefix, flag.Name)
		value, set := values[name]
		if flag.Hidden || !set {
			return
		}
		delete(values, name)
		if flag.Changed || bad != nil {
			return
		}
		if err := f.Set(flag.Name, value); err != nil {
			bad = fmt.Errorf("%s: %w", name, Explain(err))
		}
	})
	if bad == nil && len(values) > 0 {
		names := slices.Sorted(maps.Keys(values))
		return fmt.Errorf("unknown variable %s; --help lists the known ones", strings.Join(names, ", "))
	}
	return bad
}

// Describe lists each flag with its meaning, its default and its variable.
func Describe(f *pflag.FlagSet, prefix string) string {
	var b strings.Builder
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			fmt.Fprintf(&b, "  --%s\n        %s [default %s; %s]\n", flag.Name, flag.Usage, Default(flag), Variable(prefix, flag.Name))
		}
	})
	return b.String()
}

// Default returns a flag's default, or "none".
func Default(flag *pflag.Flag) string {
	if flag.DefValue == "" || flag.DefValue == "[]" {
		return "none"
	}
	return flag.DefValue
}

// Explain returns an error of pflag as one line with the flag, the value and what the
// value must be.
func Explain(err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return OneLine(fmt.Errorf("%w; --help lists the known ones", err))
	}
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return OneLine(err)
	}
	cause := invalid.Unwrap()
	var number *strconv.NumError
	if errors.As(cause, &number) {
		cause = errors.New("must be a whole number")
	}
	return OneLine(fmt.Errorf("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), cause))
}

// OneLine replaces the line breaks in an error's text.
func OneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// OneOf returns a flag with a fixed set of lower-case values. Its default is *p.
func OneOf(p *string, values ...string) pflag.Value { return oneOf{p, values} }

type oneOf struct {
	value  *string
	values []string
}

func (o oneOf) String() string { return *o.value }
func (o oneOf) Type() string   { return "string" }

// Set implements [pflag.Value].
func (o oneOf) Set(s string) error {
	s = strings.ToLower(s)
	if !slices.Contains(o.values, s) {
		return fmt.Errorf("must be one of %s", strings.Join(o.values, ", "))
	}
	*o.value = s
	return nil
}

// Duration returns a flag of a duration such as 90s, 12h, 7d or 1d12h. Its default is *p.
func Duration(p *time.Duration) pflag.Value { return duration{p} }

type duration struct{ value *time.Duration }

func (d duration) Type() string { return "duration" }

func (d duration) String() string {
	s := d.value.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// maxDays bounds the days of a duration, far below what time.Duration can hold.
const maxDays = 36500

// Set implements [pflag.Value].
func (d duration) Set(s string) error {
	rest := s
	var days int
	var err error
	if number, after, found := strings.Cut(s, "d"); found {
		rest = after
		if days, err = strconv.Atoi(number); err == nil && (days < 0 || days > maxDays) {
			return fmt.Errorf("must be at most %d days", maxDays)
		}
		if rest == "" {
			rest = "0s"
		}
	}
	var hours time.Duration
	if err == nil {
		hours, err = time.ParseDuration(rest)
	}
	if err != nil {
		return errors.New("must be a number and a unit: s, m, h or d, such as 90s, 12h or 7d")
	}
	*d.value = time.Duration(days)*24*time.Hour + hours
	return nil
}
