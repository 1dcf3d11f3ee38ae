package store

import (
	"strings"
	"testing"
)

func TestParseInfo(t *testing.T) {
	const good = "# Server\r\nredis_version:7.0.15\r\nused_memory:1000\r\nused_memory_human:1K\r\nmaxmemory:2000\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n"
	for _, test := range []struct {
		from, to string // what differs from a good answer
		risks    string // a word of each, with spaces between
		fails    bool
	}{
		{"", "", "", false},
		{"\r\n", "\n", "", false},
		{"7.0.15", "255.255.255", "", false},
		{"7.0.15", "6.2.14", "version", false},
		{"redis_version", "valkey_version", "version", false},
		{"aof_enabled:1", "aof_enabled:0", "append-only", false},
		{"noeviction", "allkeys-lru", "allkeys-lru", false},
		{"maxmemory_policy", "policy", "maxmemory-policy", false},
		{"role:master", "role:slave", "slave", false},
		{"7.0.15", "5.0.0\r\naof_enabled:0", "version", false},
		{"used_memory:1000", "", "", true},
		{"used_memory:1000", "used_memory:-1", "", true},
		{"maxmemory:2000", "maxmemory:many", "", true},
		{good, "", "", true},
	} {
		text := good
		if test.from != "" {
			text = strings.ReplaceAll(good, test.from, test.to)
		}
		got, err := parseInfo(text, 0)
		words := strings.Fields(test.risks)
		if (err != nil) != test.fails || len(got.Risks) != len(words) || err == nil && (got.Used != 1000 || got.Limit != 2000) {
			t.Errorf("%q for %q: got %+v and %v, want the risks %q", test.to, test.from, got, err, words)
			continue
		}
		for i, word := range words {
			if !strings.Contains(got.Risks[i], word) {
				t.Errorf("%q for %q: got %q, want it to name %q", test.to, test.from, got.Risks[i], word)
			}
		}
	}
}
