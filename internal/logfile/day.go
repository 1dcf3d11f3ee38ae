package logfile

import "time"

// A day is a date, as the number of days since 1970-01-01. It has no place and
// no hours: that 2026-03-29 has 23 of them in Warsaw is dayOf's business.
type day int

const daySeconds = 24 * 60 * 60

// dayOf returns the date that the calendar on the wall shows at t in loc.
func dayOf(t time.Time, loc *time.Location) day {
	_, offset := t.In(loc).Zone()
	seconds := t.Unix() + int64(offset)
	d := seconds / daySeconds
	if seconds%daySeconds < 0 {
		d--
	}
	return day(d)
}

// date returns the day's midnight in UTC, for formatting.
func (d day) date() time.Time {
	return time.Unix(int64(d)*daySeconds, 0).UTC()
}

// nextDay returns the moment after t at which the date changes in loc. Adding 24
// hours would miss it twice a year. Where the clocks went back over midnight
// there were two such moments (Newfoundland until 2011, Gaza), and it may return the
// second, or one that has passed; so nothing but a timer may lean on it.
func nextDay(t time.Time, loc *time.Location) time.Time {
	year, month, date := t.In(loc).Date()
	next := time.Date(year, month, date+1, 0, 0, 0, 0, loc)
	// Where the clocks go forward at midnight (Havana, Santiago, Beirut) there is
	// no 00:00, and time.Date returns 23:00: still today.
	if dayOf(next, loc) == dayOf(t, loc) {
		_, next = next.ZoneBounds()
	}
	return next
}
