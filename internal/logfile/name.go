package logfile

import (
	"strconv"
	"strings"
	"time"
)

// dateForm is yymmdd. Two digits of the year are enough until the end of 2068
// (POSIX and Go both read 69 as 1969).
const dateForm = "060102"

// keptName returns the name under which the log called base is kept after day d:
// base.yymmdd, and for the n-th other file of the same day base.yymmdd-n.
func keptName(base string, d day, n int) string {
	name := base + "." + d.date().Format(dateForm)
	if n > 0 {
		name += "-" + strconv.Itoa(n)
	}
	return name
}

// parseKept is the inverse of keptName. It accepts nothing that keptName cannot
// have returned: what it accepts may be deleted.
func parseKept(base, name string) (d day, n int, ok bool) {
	suffix, found := strings.CutPrefix(name, base+".")
	if !found {
		return 0, 0, false
	}
	date, count, numbered := strings.Cut(suffix, "-")
	t, err := time.Parse(dateForm, date)
	if err != nil {
		return 0, 0, false
	}
	if numbered {
		if n, err = strconv.Atoi(count); err != nil || n < 1 {
			return 0, 0, false
		}
	}
	d = dayOf(t, time.UTC)
	return d, n, keptName(base, d, n) == name
}
