package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The heap may grow by heapRoom between two collections, which is at least
// leastPercent of what is alive, and at most mostPercent. At Go's default of 100 a
// service with few megabytes alive spends a tenth of its processor time on
// collections; at a larger constant a service with much alive takes many times that.
const (
	heapRoom     = 32 << 20
	leastPercent = 50
	mostPercent  = 800
)

// paceCollector does so from now on. A GOGC in the environment is used instead, and
// GOMEMLIMIT bounds the heap in any case.
func paceCollector() {
	if os.Getenv("GOGC") == "" {
		afterCollection(struct{}{})
	}
}

// afterCollection sets the percentage by what is alive, and runs again after the
// next collection: that is when the object is found to be unused.
func afterCollection(struct{}) {
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(alive)
	percent := 100 * heapRoom / max(alive[0].Value.Uint64(), 1)
	debug.SetGCPercent(int(min(max(percent, leastPercent), mostPercent)))
	runtime.AddCleanup(new([64]byte), afterCollection, struct{}{})
}
