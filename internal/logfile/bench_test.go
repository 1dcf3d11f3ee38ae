package logfile

import (
	"bytes"
	"io"
	"testing"
)

// What a line of 350 bytes costs the request that logs it.
func BenchmarkWrite(b *testing.B) {
	q := NewStream(io.Discard)
	line := append(bytes.Repeat([]byte("x"), 349), '\n')
	b.ReportAllocs()
	for b.Loop() {
		_, _ = q.Write(line)
	}
	_ = q.Close() // the last lines, to a writer that takes all
}
