package main

import (
	"math"
	"strconv"
)

// units writes a value as Grafana does in the unit of that name.
var units = map[string]func(float64) string{
	"short":       func(v float64) string { return scaled(v, 1000, "", " K", " Mil") },
	"reqps":       func(v float64) string { return digits(v) + " req/s" },
	"ops":         func(v float64) string { return digits(v) + " ops/s" },
	"cps":         func(v float64) string { return digits(v) + " c/s" },
	"percentunit": func(v float64) string { return digits(v*100) + "%" },
	"bytes":       func(v float64) string { return scaled(v, 1024, " B", " KiB", " MiB", " GiB", " TiB") },
	"Bps":         func(v float64) string { return scaled(v, 1000, " B/s", " kB/s", " MB/s", " GB/s") },
	"s":           seconds,
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

func scaled(v, by float64, names ...string) string {
	for i, name := range names {
		if math.Abs(v) < by || i == len(names)-1 {
			return digits(v) + name
		}
		v /= by
	}
	return digits(v)
}

func seconds(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0 s"
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
