package logfile

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// What a line of 350 bytes costs: the copy that the request waits for and, every
// 400 lines, the scribe's step that takes them to the disk, which is here one
// that takes all at once, so that a benchmark fills none.
func BenchmarkWrite(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	f, s := newFile(Config{Dir: b.TempDir(), Name: name, Location: time.Local})
	s.disk.file, s.disk.day = null, dayOf(time.Now(), time.Local)
	defer s.disk.close()
	line := append(bytes.Repeat([]byte("x"), 349), '\n')
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if n%400 == 0 {
			s.step(time.Now())
		}
	}
}
