package message

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestParseFieldsRefuses(t *testing.T) {
	created := []byte{1, 8, 0, 0, 0, 0, 0, 0, 0, 9}
	expires := []byte{2, 8, 0, 0, 0, 0, 0, 0, 1, 0}
	text := []byte{128, 2, 'h', 'i'}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	if _, err := parseFields(join(created, expires, text)); err != nil {
		t.Fatalf("good fields: %v", err)
	}
	for name, plain := range map[string][]byte{
		"nothing":              {},
		"no text":              join(created, expires),
		"no expiry":            join(created, text),
		"no creation":          join(expires, text),
		"twice":                join(created, created, expires, text),
		"out of order":         join(expires, created, text),
		"unknown condition":    join(created, expires, []byte{3, 0}, text),
		"unknown after text":   join(created, expires, text, []byte{129, 0}),
		"short time":           join([]byte{1, 1, 0}, expires, text),
		"length missing":       join(created, expires, []byte{128}),
		"length over the end":  join(created, expires, []byte{128, 3, 'h', 'i'}),
		"length overflows":     join(created, expires, []byte{128}, bytes.Repeat([]byte{0xff}, 9), []byte{1, 'x'}),
		"length never ends":    join(created, expires, []byte{128}, bytes.Repeat([]byte{0xff}, 11)),
		"tag zero":             join([]byte{0, 0}, created, expires, text),
		"trailing single byte": join(created, expires, text, []byte{200}),
	} {
		if m, err := parseFields(plain); err == nil {
			t.Errorf("%s: got %+v, want an error", name, m)
		}
	}
}

func FuzzOpen(f *testing.F) {
	keys := NewID().derive()
	f.Add(keys.seal(Message{Text: []byte("hi"), Created: time.UnixMilli(9), Expires: time.UnixMilli(10)}))
	f.Add([]byte{})
	f.Add([]byte{version1})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if _, err := keys.open(bytes.Clone(sealed)); err != nil && !errors.Is(err, ErrTampered) {
			t.Errorf("open(%x): got %v, want ErrTampered", sealed, err)
		}
	})
}

func FuzzParseFields(f *testing.F) {
	f.Add([]byte{1, 8, 0, 0, 0, 0, 0, 0, 0, 9, 2, 8, 0, 0, 0, 0, 0, 0, 1, 0, 128, 2, 'h', 'i'})
	f.Fuzz(func(t *testing.T, plain []byte) {
		m, err := parseFields(plain)
		if err == nil && (m.Created.IsZero() || m.Expires.IsZero() || m.Text == nil) {
			t.Errorf("parseFields(%x) = %+v without an error", plain, m)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	m := Message{Text: make([]byte, 256), Created: time.UnixMilli(9), Expires: time.UnixMilli(10)}
	b.ReportAllocs()
	for b.Loop() {
		k := NewID().derive()
		k.seal(m)
	}
}

func BenchmarkOpen(b *testing.B) {
	id := NewID()
	k := id.derive()
	sealed := k.seal(Message{Text: make([]byte, 256), Created: time.UnixMilli(9), Expires: time.UnixMilli(10)})
	scratch := make([]byte, len(sealed))
	b.ReportAllocs()
	for b.Loop() {
		copy(scratch, sealed)
		k := id.derive()
		if _, err := k.open(scratch); err != nil {
			b.Fatal(err)
		}
	}
}
