package limit

import (
	"net/http"
	"testing"
	"time"
)

func TestSetHeaders(t *testing.T) {
	table := NewTable(defaults(t), 10)
	c := client(1)
	now := noon.Add(time.Second)
	create := take(table, c, Create, 1, now)
	for range 17 {
		create = take(table, c, Create, 1, now)
	}
	read := take(table, c, Read, 1, now)
	miss := table.Charge(c, Miss, 1, now)
	bytes := take(table, c, Bytes, 1000, now)
	off := take(NewTable(Limits{}, 1), c, Create, 1, now)
	for _, test := range []struct {
		name          string
		decisions     []Decision
		policy, limit string
	}{
		{"create", []Decision{create}, `"create";q=30;w=30`, `"create";r=12;t=1`},
		{"create and bytes", []Decision{create, bytes},
			`"create";q=30;w=30, "bytes";q=4194304;qu="content-bytes";w=64`, `"create";r=12;t=1, "bytes";r=4193304;t=1`},
		{"read and miss", []Decision{read, miss}, `"read";q=100;w=2, "miss";q=30;w=150`, `"read";r=99;t=1, "miss";r=29;t=5`},
		{"one is off", []Decision{off, read}, `"read";q=100;w=2`, `"read";r=99;t=1`},
		{"off", []Decision{off}, "", ""},
		{"none", nil, "", ""},
	} {
		header := make(http.Header)
		SetHeaders(header, test.decisions...)
		if got := header.Get("RateLimit-Policy"); got != test.policy {
			t.Errorf("%s: RateLimit-Policy is %s, want %s", test.name, got, test.policy)
		}
		if got := header.Get("RateLimit"); got != test.limit {
			t.Errorf("%s: RateLimit is %s, want %s", test.name, got, test.limit)
		}
		if want := 2; len(header) != want && test.policy != "" || test.policy == "" && len(header) != 0 {
			t.Errorf("%s: %d fields are set: %v", test.name, len(header), header)
		}
	}
	header := make(http.Header)
	SetHeaders(header, create, bytes)
	SetHeaders(header, read)
	AddHeaders(header, off)
	AddHeaders(header, table.Charge(c, ReadBytes, 1000, now))
	if got, want := header.Get("RateLimit-Policy"), `"read";q=100;w=2, "read-bytes";q=16777216;qu="content-bytes";w=16`; got != want {
		t.Errorf("added: RateLimit-Policy is %s, want %s", got, want)
	}
	if got, want := header.Get("RateLimit"), `"read";r=99;t=1, "read-bytes";r=16776216;t=1`; got != want {
		t.Errorf("added: RateLimit is %s, want %s", got, want)
	}
	// The two fields share memory; what a later handler adds to one must not
	// show up in the other.
	header = make(http.Header)
	SetHeaders(header, create)
	header.Add("RateLimit-Policy", "x")
	if got := header.Values("RateLimit"); len(got) != 1 || got[0] != `"create";r=12;t=1` {
		t.Errorf("RateLimit after an addition to RateLimit-Policy: %q", got)
	}
}

func TestDecisionsAllocateLittle(t *testing.T) {
	table := NewTable(defaults(t), 1000)
	if got := testing.AllocsPerRun(1000, func() {
		take(table, client(1), Create, 1, noon)
		peek(table, client(2), Miss, 1, noon)
		table.Charge(client(1), Miss, 1, noon)
	}); got > 2 {
		t.Errorf("three decisions about a client that is tracked make %v allocations, want one for each Take", got)
	}
	d := take(table, client(1), Read, 1, noon)
	header := make(http.Header)
	if got := testing.AllocsPerRun(1000, func() { SetHeaders(header, d, d) }); got > 2 {
		t.Errorf("SetHeaders makes %v allocations, want at most 2", got)
	}
}
