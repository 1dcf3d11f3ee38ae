package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestReplyScanner(t *testing.T) {
	t.Parallel()
	var slots strings.Builder // the largest list of a Cluster: each slot is its own range
	slots.WriteString("*16384\r\n")
	for slot := range 16384 {
		fmt.Fprintf(&slots, "*5\r\n:%d\r\n:%d\r\n", slot, slot)
		for node := range 3 {
			fmt.Fprintf(&slots, "*4\r\n$9\r\n127.0.0.1\r\n:%d\r\n$40\r\n%040d\r\n*2\r\n$8\r\nhostname\r\n$4\r\nhost\r\n", node, node)
		}
	}
	for name, test := range map[string]struct {
		replies string
		fails   bool
	}{
		"nothing":                  {"", false},
		"one of each":              {"+OK\r\n-ERR no\r\n:1\r\n$3\r\na\nb\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n+OK\r\n", false},
		"the largest message":      {fmt.Sprintf("$%d\r\n", 64<<20+1000), false},
		"many messages":            {strings.Repeat(fmt.Sprintf("$%d\r\n%s\r\n", 1<<20, make([]byte, 1<<20)), 70), false},
		"the largest Cluster":      {slots.String(), false},
		"a length that panics":     {"$9000000000000000000\r\n", true},
		"a length out of memory":   {"$4000000000000\r\n", true},
		"a length beyond int64":    {"$90000000000000000000\r\n", true},
		"a negative length":        {"$-2\r\n", true},
		"no length":                {"$\r\n", true},
		"what only RESP3 has":      {"_\r\n", true},
		"an array":                 {"*4000000000\r\n", true},
		"arrays that add up":       {strings.Repeat("*700000\r\n", 3), true},
		"strings that add up":      {"*3\r\n" + strings.Repeat(fmt.Sprintf("$%d\r\n%s\r\n", 30<<20, make([]byte, 30<<20)), 3), true},
		"arrays without a bottom":  {strings.Repeat("*1\r\n", maxReply/arrayCost), true},
		"a line without an end":    {"-" + strings.Repeat("x", maxLine), true},
		"lines that add up":        {"*1000000\r\n" + strings.Repeat("+"+strings.Repeat("x", 60_000)+"\r\n", 1200), true},
		"another protocol":         {"HTTP/1.1 400 Bad Request\r\n", true},
		"TLS":                      {"\x15\x03\x03\x00\x02\x02\x28", true},
		"something after a string": {"$1\r\nx\r\nx\r\n", true},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			if size < 1<<20 && len(test.replies) > 1<<20 {
				continue // a long time for nothing more
			}
			var s replyScanner
			var err error
			for chunk := range slices.Chunk([]byte(test.replies), size) {
				err = s.scan(chunk)
			}
			if (err != nil) != test.fails {
				t.Errorf("%s, %d bytes at a time: got %v, want an error: %t", name, size, err, test.fails)
			}
		}
	}
}

// FuzzReplyScanner: what is found does not depend on where the reads cut.
func FuzzReplyScanner(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nabc\r\n*1\r\n:1\r\n+OK\r\n"), 3)
	f.Add([]byte("$9000000000000000000\r\n"), 1)
	f.Fuzz(func(t *testing.T, replies []byte, size int) {
		var whole, cut replyScanner
		want := whole.scan(replies)
		var got error
		for chunk := range slices.Chunk(replies, 1+(size&15)) {
			got = cut.scan(chunk)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || cut.size != whole.size || cut.skip != whole.skip || cut.pending != whole.pending {
			t.Errorf("in parts: got %v and %+v, want %v and %+v", got, cut, want, whole)
		}
	})
}
