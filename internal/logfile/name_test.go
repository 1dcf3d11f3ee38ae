package logfile

import (
	"strconv"
	"strings"
	"testing"
)

func TestParseKept(t *testing.T) {
	for _, tc := range []struct {
		suffix, date string
		n            int
	}{
		{".261124", "261124", 0}, {".280229", "280229", 0}, {".000101", "000101", 0},
		{".681231", "681231", 0}, {".700101", "700101", 0},
		{".261124-1", "261124", 1}, {".261124-12", "261124", 12},
	} {
		d, ok := parseKept(name, name+tc.suffix)
		if !ok || !d.Equal(date(t, tc.date)) || keptName(name, tc.date, tc.n) != name+tc.suffix {
			t.Errorf("parseKept(%q): got %v %v, want %v", name+tc.suffix, d, ok, date(t, tc.date))
		}
	}
	for _, file := range []string{
		name, name + ".", name + ".26112", name + ".2611244", name + ".261324", name + ".261131", name + ".270229",
		name + ".261124-0", name + ".261124-01", name + ".261124-", name + ".261124--1", name + ".261124-+1", name + ".261124-1-1",
		name + ".261124.gz", name + ".261124-1.gz", name + ".2611 4", name + ".+61124", name + "-261124", name + ".261124~",
		"x" + name + ".261124", strings.ToUpper(name) + ".261124", "messaging_api.261124", "261124", "",
	} {
		if d, ok := parseKept(name, file); ok {
			t.Errorf("parseKept(%q): got %v, want a refusal: it would be deleted", file, d)
		}
	}
}

func FuzzParseKept(f *testing.F) {
	for _, suffix := range []string{"", ".261124", ".261124-1", ".261124-01", ".280229", ".x", ".261124-99999999999999999999"} {
		f.Add(name + suffix)
	}
	f.Fuzz(func(t *testing.T, file string) {
		d, ok := parseKept(name, file)
		_, count, _ := strings.Cut(strings.TrimPrefix(file, name+"."), "-")
		n, _ := strconv.Atoi(count)
		if ok && keptName(name, d.Format(dateForm), n) != file {
			t.Errorf("parseKept(%q) reads %v, whose name is %q", file, d, keptName(name, d.Format(dateForm), n))
		}
	})
}
