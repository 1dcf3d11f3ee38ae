package logfile

import (
	"testing"
	"time"
)

// zone loads a time zone; Go brings them along.
func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestDayOf(t *testing.T) {
	for _, tc := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), "261124"},
		{time.Date(2026, 11, 24, 23, 59, 59, 999_999_999, time.UTC), "261124"},
		{time.Date(2026, 11, 24, 23, 59, 59, 0, zone(t, "Europe/Warsaw")), "261124"},
		{time.Date(2026, 11, 24, 0, 0, 0, 0, zone(t, "Pacific/Auckland")), "261124"},
		{time.Date(2028, 2, 29, 12, 0, 0, 0, zone(t, "Asia/Kathmandu")), "280229"},
		{time.Date(1970, 1, 1, 0, 0, 0, 0, zone(t, "Asia/Tokyo")), "700101"}, // before the epoch
		{time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), "691231"},
	} {
		if got := dayOf(tc.at, tc.at.Location()).date().Format(dateForm); got != tc.want {
			t.Errorf("dayOf(%v): got %s, want %s", tc.at, got, tc.want)
		}
	}
}

func TestNextDay(t *testing.T) {
	for _, tc := range []struct {
		name, zone string
		at         time.Time // in UTC
		want       time.Duration
	}{
		{"an ordinary day", "Europe/Warsaw", time.Date(2026, 11, 23, 23, 0, 0, 0, time.UTC), 24 * time.Hour},
		{"its last moment", "Europe/Warsaw", time.Date(2026, 11, 24, 22, 59, 59, 999_999_999, time.UTC), 1},
		{"the clocks go forward", "Europe/Warsaw", time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC), 23 * time.Hour},
		{"the clocks go back", "Europe/Warsaw", time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC), 25 * time.Hour},
		{"no 00:00 tomorrow", "America/Havana", time.Date(2026, 3, 7, 5, 0, 0, 0, time.UTC), 24 * time.Hour},
		{"no 00:00 today", "America/Havana", time.Date(2026, 3, 8, 5, 0, 0, 0, time.UTC), 23 * time.Hour},
		{"00:00 twice", "America/Havana", time.Date(2026, 11, 1, 4, 0, 0, 0, time.UTC), 25 * time.Hour},
		{"a whole date is missing", "Pacific/Apia", time.Date(2011, 12, 29, 10, 0, 0, 0, time.UTC), 24 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := nextDay(tc.at, zone(t, tc.zone)).Sub(tc.at); got != tc.want {
				t.Errorf("the day after %v in %s begins in %v, want %v", tc.at, tc.zone, got, tc.want)
			}
		})
	}
}

// Whatever governments decree, the date changes at nextDay and not before.
func TestNextDayIsWhenTheDateChanges(t *testing.T) {
	for _, name := range []string{
		"UTC", "Europe/Warsaw", "America/New_York", "America/Havana", "America/Santiago", "America/Sao_Paulo",
		"America/St_Johns", "Africa/Cairo", "Asia/Beirut", "Asia/Tehran", "Atlantic/Azores",
		"Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Antarctica/Troll", "Africa/Casablanca",
	} {
		loc := zone(t, name)
		from := time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC)
		for at := from; at.Year() < 2030; at = at.Add(5*time.Hour + 47*time.Minute) {
			next := nextDay(at, loc)
			today := dayOf(at, loc)
			if !next.After(at) || dayOf(next, loc) <= today || dayOf(next.Add(-1), loc) != today {
				t.Fatalf("%s: nextDay(%v) = %v: the date does not change there", name, at.In(loc), next.In(loc))
			}
		}
	}
}
