package logfile

import (
	"strconv"
	"strings"
	"time"
)

// dateForm is yymmdd. Two digits of the year are enough until the end of 2068
// (POSIX and Go both read 69 as 1969).
const dateForm = "060102"

// keptName returns the name under which the log called base is kept after a day,
// written yymmdd: base.yymmdd, and for the n-th other file of that day base.yymmdd-n.
func keptName(base, day string, n int) string {
	name := base + "." + day
	if n > 0 {
		name += "-" + strconv.Itoa(n)
	}
	return name
}

// parseKept is the inverse of keptName, with the day as its midnight in UTC. It accepts
// nothing that keptName cannot have returned, because what it accepts may be deleted.
func parseKept(base, name string) (day time.Time, n int, ok bool) {
	suffix, found := strings.CutPrefix(name, base+".")
	if !found {
		return time.Time{}, 0, false
	}
	date, count, numbered := strings.Cut(suffix, "-")
	day, err := time.Parse(dateForm, date)
	if err != nil {
		return time.Time{}, 0, false
	}
	if numbered {
		if n, err = strconv.Atoi(count); err != nil || n < 1 {
			return time.Time{}, 0, false
		}
	}
	return day, n, keptName(base, day.Format(dateForm), n) == name
}
