package logfile

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Many processes by mistake on one folder, as so many disks: each day each of them
// finds the log out of date at the same moment. (Locks bind open files, so that it
// does not matter whether one process has opened them.)
func TestDisksCloseADayOnceAndTogether(t *testing.T) {
	const disks, days, each = 8, 40, 5
	dir := t.TempDir()
	today := dayOf(time.Now(), time.UTC) // files that are found are of today
	shared := make([]disk, disks)
	for i := range shared {
		shared[i] = disk{dir: dir, name: name, loc: time.UTC}
		defer shared[i].close()
	}
	for d := today; d < today+days; d++ {
		var all sync.WaitGroup
		for i := range shared {
			all.Go(func() {
				for n := range each {
					line := fmt.Sprintf("%d %d %d\n", d, i, n)
					if _, err := shared[i].write(d, []byte(line)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	}
	got := contents(t, dir)
	for d := today; d < today+days; d++ {
		file := keptName(name, d, 0)
		if d == today+days-1 {
			file = name
		}
		seen := make(map[string]bool)
		for line := range strings.Lines(got[file]) {
			if !strings.HasPrefix(line, fmt.Sprintf("%d ", d)) || seen[line] {
				t.Errorf("%s holds %q, want lines of day %d, each once", file, line, d)
			}
			seen[line] = true
		}
		if len(seen) != disks*each {
			t.Errorf("%s holds %d lines, want %d", file, len(seen), disks*each)
		}
	}
	if len(got) != days {
		t.Errorf("the folder holds %d files, want %d:\n%v", len(got), days, got)
	}
}

// A process that starts while another writes must not take a line that is on its
// way for one that was torn.
func TestDiskLetsALineOnItsWayBe(t *testing.T) {
	writer := newDisk(t)
	today := dayOf(time.Now(), time.UTC)
	line := strings.Repeat("x", 999) + "\n"
	const batches, lines = 100, 300
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range batches {
			if _, err := writer.write(today, []byte(strings.Repeat(line, lines))); err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			starter := disk{dir: writer.dir, name: name, loc: time.UTC}
			if err := starter.open(today); err != nil {
				t.Error(err)
			}
			starter.close()
		}
	}
	for i, got := range strings.SplitAfter(contents(t, writer.dir)[name], "\n") {
		if got != line && (got != "" || i != batches*lines) {
			t.Fatalf("line %d is %.20q, %d bytes, want the %d bytes that were written", i, got, len(got), len(line))
		}
	}
}
