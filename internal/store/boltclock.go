package store

import (
	"sync/atomic"
	"time"
)

const (
	// startGrace is how long after a start the clock is not believed: a machine may
	// boot with a wrong one, and time servers correct it minutes later.
	startGrace = 10 * time.Minute
	// jumpGrace is the same after the clock was set.
	jumpGrace = time.Hour
	// jumpSize is how far wall time and monotonic time drift apart before that
	// counts as setting the clock. They drift apart while a machine is suspended too.
	jumpSize = time.Minute
)

// A clockGuard decides whether the clock is believed where it would delete
// something for good. While it is not, expired messages are still not served.
type clockGuard struct {
	start time.Time     // wall time
	drift time.Duration // of wall time from monotonic time since the start
	until time.Duration // the clock is not believed before so much time after the start
	jumps atomic.Uint64
}

// observe compares wall time with uptime, the monotonic time since the start. It
// returns by how much the clock was set since the last call, 0 if it was not, and
// whether it is believed.
func (g *clockGuard) observe(wall time.Time, uptime time.Duration) (jump time.Duration, believed bool) {
	drift := wall.Round(0).Sub(g.start.Round(0)) - uptime
	if jump = drift - g.drift; jump.Abs() > jumpSize {
		g.drift = drift
		g.until = max(g.until, uptime+jumpGrace)
		g.jumps.Add(1)
	} else {
		jump = 0
	}
	return jump, uptime >= max(g.until, startGrace)
}
