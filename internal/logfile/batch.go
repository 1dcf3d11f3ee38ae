package logfile

import (
	"bytes"
	"slices"
)

// A batch is lines in the order in which they came, all in one piece of memory,
// so that a file gets many of them in one write.
type batch struct {
	lines []byte
	done  int   // how much of lines has been dropped
	runs  []run // what of the rest belongs to which day, in order; none is empty
}

// A run is a number of bytes, whole lines, of one day. Days need not ascend: a
// clock can be set back.
type run struct {
	day  day
	size int
}

// add appends one line of day d, and the newline where it lacks one: without
// it two lines would become one.
func (b *batch) add(d day, line []byte) {
	size := len(line)
	b.lines = append(b.lines, line...)
	if line[size-1] != '\n' {
		b.lines = append(b.lines, '\n')
		size++
	}
	if last := len(b.runs) - 1; last >= 0 && b.runs[last].day == d {
		b.runs[last].size += size
		return
	}
	b.runs = append(b.runs, run{d, size})
}

// first returns the lines of the first run.
func (b *batch) first() (day, []byte) {
	return b.runs[0].day, b.lines[b.done:][:b.runs[0].size]
}

// drop forgets the first n bytes of the first run.
func (b *batch) drop(n int) {
	b.done += n
	if b.runs[0].size -= n; b.runs[0].size == 0 {
		b.runs = slices.Delete(b.runs, 0, 1)
	}
	if b.empty() {
		b.reset()
	}
}

// reset makes an empty batch ready to be filled again, in the same memory unless
// a stall of the disk has made that uncommonly large.
func (b *batch) reset() {
	const enough = 256 << 10
	b.lines, b.done = b.lines[:0], 0
	if cap(b.lines) > enough {
		b.lines = nil
	}
}

func (b *batch) empty() bool { return len(b.runs) == 0 }

// count returns how many lines there are.
func (b *batch) count() int { return bytes.Count(b.lines[b.done:], newline) }

var newline = []byte{'\n'}
