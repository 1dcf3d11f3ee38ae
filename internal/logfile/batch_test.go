package logfile

import "testing"

func TestBatch(t *testing.T) {
	var b batch
	if !b.empty() || b.count() != 0 {
		t.Fatal("the zero batch is not empty")
	}
	b.add(1, []byte("a\n"))
	b.add(1, []byte("b")) // the newline is added
	b.add(2, []byte("c\nd\n"))
	b.add(1, []byte("e\n"))
	if got := b.count(); got != 5 {
		t.Errorf("count: got %d, want 5", got)
	}
	for _, step := range []struct {
		day   day
		lines string
		drop  int
	}{
		{1, "a\nb\n", 0}, {1, "a\nb\n", 2}, {1, "b\n", 2}, {2, "c\nd\n", 4}, {1, "e\n", 2},
	} {
		if d, lines := b.first(); d != step.day || string(lines) != step.lines {
			t.Errorf("first: got day %d %q, want %d %q", d, lines, step.day, step.lines)
		}
		b.drop(step.drop)
	}
	if !b.empty() || b.count() != 0 || len(b.lines) != 0 {
		t.Errorf("after all was dropped: got %+v, want an empty batch", b)
	}
	b.add(3, make([]byte, 1<<20))
	b.drop(1<<20 + 1)
	if cap(b.lines) != 0 {
		t.Errorf("an empty batch holds on to %d bytes of a bad moment", cap(b.lines))
	}
}
