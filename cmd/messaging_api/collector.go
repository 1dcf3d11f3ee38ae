package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The heap may grow by heapRoom between two collections, but by at least leastPercent and
// at most mostPercent of the live heap. With Go's default of 100 percent and a live heap of
// a few megabytes, collections take a tenth of the processor time. With a larger constant, a
// large live heap would take several times its size.
const (
	heapRoom     = 32 << 20
	leastPercent = 50
	mostPercent  = 800
)

// paceCollector sets this, unless GOGC is in the environment. GOMEMLIMIT bounds the heap in
// any case.
func paceCollector() {
	if os.Getenv("GOGC") == "" {
		afterCollection(struct{}{})
	}
}

// afterCollection sets the percentage for the live heap. It runs again after the next
// collection, which finds that the object is unused.
func afterCollection(struct{}) {
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(alive)
	percent := 100 * heapRoom / max(alive[0].Value.Uint64(), 1)
	debug.SetGCPercent(int(min(max(percent, leastPercent), mostPercent)))
	runtime.AddCleanup(new([64]byte), afterCollection, struct{}{})
}
