package main

import (
	"math"
	"strconv"
)

// units writes a value in the unit of that name: with Grafana's scales, but always to
// three digits.
var units = map[string]func(float64) string{
	"short":       func(v float64) string { return scaled(v, 1000, "", " K", " Mil", " Bil", " Tri") },
	"reqps":       count(" req/s"),
	"ops":         count(" ops/s"),
	"cps":         count(" c/s"),
	"percentunit": func(v float64) string { return digits(v*100) + "%" },
	"bytes":       func(v float64) string { return scaled(v, 1024, " B", " KiB", " MiB", " GiB", " TiB") },
	"Bps":         func(v float64) string { return scaled(v, 1000, " B/s", " kB/s", " MB/s", " GB/s", " TB/s") },
	"s":           seconds,
}

func count(what string) func(float64) string {
	return func(v float64) string { return scaled(v, 1000, what, "K"+what, "M"+what, "B"+what, "T"+what) }
}

// digits keeps three of them.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	places := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	unit := math.Pow(10, float64(min(places, 9)))
	return strconv.FormatFloat(math.Round(v*unit)/unit, 'f', -1, 64)
}

// scaled divides a value until it is less than by, or has the last of the names.
func scaled(v, by float64, names ...string) string {
	for math.Abs(v) >= by && len(names) > 1 {
		v, names = v/by, names[1:]
	}
	return digits(v) + names[0]
}

func seconds(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0 s"
	case a < 1e-6:
		return digits(v*1e9) + " ns"
	case a < 1e-3:
		return digits(v*1e6) + " µs"
	case a < 1:
		return digits(v*1e3) + " ms"
	case a < 60:
		return digits(v) + " s"
	case a < 3600:
		return digits(v/60) + " mins"
	case a < 86400:
		return digits(v/3600) + " hours"
	case a < 7*86400:
		return digits(v/86400) + " days"
	case a < 365*86400:
		return digits(v/(7*86400)) + " weeks"
	default:
		return digits(v/(365*86400)) + " years"
	}
}
