package store

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"messaging_api/internal/message"
)

func TestClockGuard(t *testing.T) {
	g := clockGuard{start: noon}
	const day = 24 * time.Hour
	for i, step := range []struct {
		uptime, ahead time.Duration // ahead: wall time, of noon plus uptime
		jump          time.Duration
		believed      bool
	}{
		{0, 0, 0, false},
		{startGrace - 1, 0, 0, false},
		{startGrace, 0, 0, true},
		{time.Hour, jumpSize, 0, true}, // a time server's small steps
		{2 * time.Hour, -jumpSize, 0, true},
		{3 * time.Hour, 8 * day, 8 * day, false},
		{3*time.Hour + time.Minute, 8 * day, 0, false},                    // logged once
		{3*time.Hour + 2*time.Minute, 0, -8 * day, false},                 // set back
		{4*time.Hour + time.Minute, 0, 0, false},                          // an hour from the later jump
		{4*time.Hour + 2*time.Minute, 0, 0, true},                         //
		{5 * time.Hour, -day, -day, false},                                //
		{6 * time.Hour, -day, 0, true},                                    //
		{7 * time.Hour, -day + 40*time.Second, 0, true},                   // small steps add up
		{7*time.Hour + 1, -day + 80*time.Second, 80 * time.Second, false}, //
	} {
		jump, believed := g.observe(noon.Add(step.uptime+step.ahead), step.uptime)
		if jump != step.jump || believed != step.believed {
			t.Errorf("step %d: got a jump of %v, believed %t, want %v, %t", i, jump, believed, step.jump, step.believed)
		}
	}
	if got := g.jumps.Load(); got != 4 {
		t.Errorf("got %d jumps, want 4", got)
	}
	late := clockGuard{start: noon} // a jump right after the start does not shorten either grace
	late.observe(noon.Add(day), time.Second)
	if _, believed := late.observe(noon.Add(day+startGrace), startGrace); believed {
		t.Error("believed ten minutes after a start and a jump, want an hour")
	}
}

// An expired message is not served, but kept for ten minutes after a start.
func TestBoltKeepsExpiredMessagesAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := OpenBolt(filepath.Join(t.TempDir(), "messages.db"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		if err := b.Put(t.Context(), message.Key{1}, []byte("x"), nil, time.Second); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after time.Duration
			kept  int
		}{{time.Second, 1}, {startGrace - 2*time.Second, 1}, {1 + sweepEvery, 0}} {
			time.Sleep(step.after) //nolint:forbidigo // in a synctest bubble
			synctest.Wait()
			if _, err := b.Get(t.Context(), message.Key{1}); !errors.Is(err, message.ErrNotFound) {
				t.Errorf("%v later: Get: got %v, want ErrNotFound", step.after, err)
			}
			if kept, index, _ := b.keys(t); len(kept) != step.kept || index != step.kept {
				t.Errorf("%v later: %d messages and %d in the index are kept, want %d", step.after, len(kept), index, step.kept)
			}
		}
	})
}

// A clock that is set is logged once, and nothing is deleted meanwhile.
func TestSweepAfterTheClockWasSet(t *testing.T) {
	b, _ := quietBolt(t)
	var out bytes.Buffer
	b.log = slog.New(slog.NewJSONHandler(&out, nil))
	b.store(t, message.Key{1}, time.Now().Add(-time.Hour), 10)
	b.clock.start = time.Now().Add(-time.Hour) // an hour ago, by both clocks
	b.clock.drift = -8 * 24 * time.Hour        // and now wall time is eight days ahead of where it was
	for range 3 {
		b.trySweep(sweepBatch)
	}
	if kept, _, _ := b.keys(t); len(kept) != 1 || b.ClockJumps() != 1 {
		t.Errorf("%d messages are kept after %d jumps, want 1 and 1", len(kept), b.ClockJumps())
	}
	if n := strings.Count(out.String(), `"event":"clock","by":"192h0m0s"`); n != 1 {
		t.Errorf("it is logged %d times, want once: %s", n, out.String())
	}
}
