package message

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	const good = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	for _, s := range []string{good, strings.ToUpper(good)} {
		id, err := ParseID(s)
		if err != nil || id.Reveal() != good {
			t.Errorf("ParseID(%q) = %v, %v, want %s", s, id.Reveal(), err, good)
		}
	}
	for _, s := range []string{
		"", "x", good[:35], good + "0", " " + good[:35], good + "/", "/" + good,
		strings.ReplaceAll(good, "-", ""), "{" + good + "}", "urn:uuid:" + good,
		"6ba7b810-9dad-11d1-80b4-00c04fd430c8", // version 1
		"6ba7b810-9dad-71d1-80b4-00c04fd430c8", // version 7
		"6ba7b810-9dad-41d1-c0b4-00c04fd430c8", // Microsoft's variant
		"6ba7b810-9dad-41d1-00b4-00c04fd430c8", // NCS variant
		"6ba7b810_9dad_41d1_80b4_00c04fd430c8",
		"6ba7b8109-dad-41d1-80b4-00c04fd430c8",
		"6ba7b81g-9dad-41d1-80b4-00c04fd430c8",
		"00000000-0000-0000-0000-000000000000",
	} {
		if _, err := ParseID(s); !errors.Is(err, errID) {
			t.Errorf("ParseID(%q): got error %v, want %v", s, err, errID)
		}
	}
}

func TestNewIDIsRandomVersion4(t *testing.T) {
	seen := make(map[ID]bool)
	for range 10_000 {
		id := NewID()
		if back, err := ParseID(id.Reveal()); err != nil || back != id {
			t.Fatalf("ParseID(NewID()): %v", err)
		}
		if seen[id] {
			t.Fatal("NewID returned an id twice")
		}
		seen[id] = true
	}
}

// A credential that is printed by mistake must not show itself.
func TestIDHidesFromPrinting(t *testing.T) {
	id := NewID()
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&b, verb+" ", id)
		fmt.Fprintf(&b, verb+" ", &id)
		fmt.Fprintf(&b, verb+" ", struct{ ID ID }{id})
	}
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "id", id)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "id", id)
	shown := strings.ToLower(b.String())
	if raw := fmt.Sprintf("%x", id.uuid[:4]); strings.Contains(shown, raw) {
		t.Errorf("printing shows the id's bytes %s:\n%s", raw, shown)
	}
	if decimal := fmt.Sprint(id.uuid[0], " ", id.uuid[1], " ", id.uuid[2]); strings.Contains(shown, decimal) {
		t.Errorf("printing shows the id's bytes %s:\n%s", decimal, shown)
	}
}

// The derivation is part of the format of all that is stored: a change here
// loses every message.
func TestDeriveIsFixed(t *testing.T) {
	id, err := ParseID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
	if err != nil {
		t.Fatal(err)
	}
	k := id.derive()
	if got, want := fmt.Sprintf("%x %x", k.store, k.sealing), "20d1ee1d984514fadec50beb74cac895 d663886677e7c55eb2ee8712e451eeb39ac11eb1324cbabfc606d3e8eec10df3"; got != want {
		t.Errorf("derive: got %s, want %s", got, want)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
	f.Add("{6ba7b810-9dad-41d1-80b4-00c04fd430c8}")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if id.Reveal() != strings.ToLower(s) {
			t.Errorf("ParseID(%q) reads as %s: one message would have two links", s, id.Reveal())
		}
	})
}
