package store

import "testing"

// An answer that lacks one of the two figures is none.
func TestParseSpace(t *testing.T) {
	for text, want := range map[string]space{
		"# Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\nmaxmemory:2000\r\n": {1000, 2000},
		"# Memory\r\nused_memory:1000\r\nmaxmemory:0\r\n":                            {1000, 0},
		"maxmemory:2000\nused_memory:1000":                                           {1000, 2000},
		"used_memory:1000\r\n":                                                       {},
		"maxmemory:2000\r\n":                                                         {},
		"used_memory:-1\r\nmaxmemory:2000\r\n":                                       {},
		"used_memory:1000\r\nmaxmemory:many\r\n":                                     {},
		"":                                                                           {},
	} {
		got, err := parseSpace(text)
		if got != want || (err != nil) != (want == space{}) {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}
