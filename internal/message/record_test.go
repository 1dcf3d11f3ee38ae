package message

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

// parsed returns the record in a plaintext.
func parsed(plain []byte) (*record, error) {
	r := new(record)
	return r, r.parse(plain)
}

func TestParseRefuses(t *testing.T) {
	created := []byte{1, 8, 0, 0, 0, 0, 0, 0, 0, 9}
	expires := []byte{2, 8, 0, 0, 0, 0, 0, 0, 1, 0}
	text := []byte{128, 2, 'h', 'i'}
	reads := []byte{4, 1, 3}
	opened := []byte{6, 8, 0, 0, 0, 0, 0, 0, 0, 10}
	withdrawn := []byte{8, 8, 0, 0, 0, 0, 0, 0, 0, 10}
	claims := func(place byte) []byte {
		return append(append([]byte{7, byte(claimSize)}, make([]byte, 32)...), place, 0, 0, 0, 0, 0, 0, 0, 20)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, plain := range map[string][]byte{
		"plain":     join(created, expires, text),
		"limited":   join(created, expires, reads),
		"opened":    join(created, expires, reads, opened, claims(0)),
		"withdrawn": join(created, expires, withdrawn),
	} {
		if _, err := parsed(plain); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, plain := range map[string][]byte{
		"nothing":               {},
		"no text":               join(created, expires),
		"text of a limited one": join(created, expires, reads, text),
		"text of a withdrawn":   join(created, expires, withdrawn, text),
		"no expiry":             join(created, text),
		"no creation":           join(expires, text),
		"twice":                 join(created, created, expires, text),
		"out of order":          join(expires, created, text),
		"no reads":              join(created, expires, []byte{4, 1, 0}),
		"too many reads":        join(created, expires, []byte{4, 1, MaxReads + 1}),
		"long reads":            join(created, expires, []byte{4, 2, 1, 1}),
		"short hash":            join(created, expires, []byte{3, 1, 0}, text),
		"half an opening":       join(created, expires, reads, []byte{6, 4, 0, 0, 0, 0}),
		"half a claim":          join(created, expires, reads, opened, []byte{7, 4, 0, 0, 0, 0}),
		"claim without opening": join(created, expires, reads, opened, claims(1)),
		"short time":            join([]byte{1, 1, 0}, expires, text),
		"length missing":        join(created, expires, []byte{128}),
		"length over the end":   join(created, expires, []byte{128, 3, 'h', 'i'}),
		"length overflows":      join(created, expires, []byte{128}, bytes.Repeat([]byte{0xff}, 9), []byte{1, 'x'}),
		"length never ends":     join(created, expires, []byte{128}, bytes.Repeat([]byte{0xff}, 11)),
		"tag zero":              join([]byte{0, 0}, created, expires, text),
		"trailing single byte":  join(created, expires, text, []byte{200}),
	} {
		if r, err := parsed(plain); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: got %+v, %v, want ErrTampered", name, r, err)
		}
	}
	// A condition that this program does not know is for a later one to judge.
	for name, plain := range map[string][]byte{
		"unknown condition":  join(created, expires, []byte{10, 0}, text),
		"unknown after text": join(created, expires, text, []byte{129, 0}),
	} {
		if r, err := parsed(plain); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: got %+v, %v, want ErrNewer", name, r, err)
		}
	}
}

// The format of what is stored is fixed: a record of every kind comes back as it
// was, and messages from before there were owner tokens stay readable.
func TestSealAndOpenRecord(t *testing.T) {
	keys := NewID().derive()
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	hash := func(b byte) Hash { return Hash{b} }
	proof := &Hash{2}
	for name, r := range map[string]record{
		"old":     {created: at(9), expires: at(99), text: []byte("hi")},
		"plain":   {created: at(9), expires: at(99), owner: hash(1), text: []byte("hi")},
		"limited": {created: at(9), expires: at(99), owner: hash(1), reads: 3, proof: proof},
		"opened": {created: at(9), expires: at(99), owner: hash(1), reads: MaxReads, proof: proof,
			opened: []time.Time{at(10), at(11)}, claims: []claim{{hash(3), 0, at(20)}, {hash(4), 1, at(21)}}},
		"withdrawn":  {created: at(9), expires: at(99), owner: hash(1), withdrawn: at(12)},
		"taken down": {created: at(9), expires: at(99), owner: hash(1), reads: 1, opened: []time.Time{at(10)}, withdrawn: at(12), takenDown: at(13)},
	} {
		got, err := keys.openRecord(keys.seal(r), at(50))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, r)
		}
		if _, err := keys.openRecord(keys.seal(r), at(99)); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %v at its end, want ErrNotFound", name, err)
		}
	}
}

// A text does not pass for a record, nor a record for a text.
func TestKindsAreSealed(t *testing.T) {
	keys := NewID().derive()
	record := keys.seal(record{created: time.UnixMilli(9), expires: time.UnixMilli(99), text: []byte("hi")})
	if _, err := keys.openText(bytes.Clone(record)); !errors.Is(err, ErrTampered) {
		t.Errorf("openText of a record: %v, want ErrTampered", err)
	}
	if _, err := keys.openRecord(keys.sealText([]byte("hi")), time.UnixMilli(10)); !errors.Is(err, ErrTampered) {
		t.Errorf("openRecord of a text: %v, want ErrTampered", err)
	}
	record[0] = version1 + 1
	if _, err := keys.openRecord(record, time.UnixMilli(10)); !errors.Is(err, ErrNewer) {
		t.Errorf("openRecord of a newer version: %v, want ErrNewer", err)
	}
}

func FuzzOpen(f *testing.F) {
	keys := NewID().derive()
	f.Add(keys.seal(record{text: []byte("hi"), created: time.UnixMilli(9), expires: time.UnixMilli(10)}))
	f.Add([]byte{})
	f.Add([]byte{version1})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if _, err := keys.openRecord(bytes.Clone(sealed), time.UnixMilli(9)); err != nil && !errors.Is(err, ErrTampered) && !errors.Is(err, ErrNewer) {
			t.Errorf("openRecord(%x): got %v, want ErrTampered or ErrNewer", sealed, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{1, 8, 0, 0, 0, 0, 0, 0, 0, 9, 2, 8, 0, 0, 0, 0, 0, 0, 1, 0, 128, 2, 'h', 'i'})
	f.Add([]byte{1, 8, 0, 0, 0, 0, 0, 0, 0, 9, 2, 8, 0, 0, 0, 0, 0, 0, 1, 0, 4, 1, 3, 6, 8, 0, 0, 0, 0, 0, 0, 0, 10})
	f.Fuzz(func(t *testing.T, plain []byte) {
		r, err := parsed(plain)
		if err != nil {
			return
		}
		if r.created.IsZero() || r.expires.IsZero() || len(r.opened) > MaxReads {
			t.Errorf("parse(%x) = %+v without an error", plain, r)
		}
		keys := NewID().derive()
		if again, err := keys.openRecord(keys.seal(*r), r.expires.Add(-1)); err != nil || !reflect.DeepEqual(*r, again) {
			t.Errorf("parse(%x) = %+v, which is sealed as %+v, %v", plain, r, again, err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	r := record{text: make([]byte, 256), owner: Hash{1}, created: time.UnixMilli(9), expires: time.UnixMilli(10)}
	b.ReportAllocs()
	for b.Loop() {
		k := NewID().derive()
		k.seal(r)
	}
}

func BenchmarkOpen(b *testing.B) {
	id := NewID()
	k := id.derive()
	sealed := k.seal(record{text: make([]byte, 256), owner: Hash{1}, created: time.UnixMilli(9), expires: time.UnixMilli(10)})
	scratch := make([]byte, len(sealed))
	b.ReportAllocs()
	for b.Loop() {
		copy(scratch, sealed)
		k := id.derive()
		if _, err := k.openRecord(scratch, time.UnixMilli(9)); err != nil {
			b.Fatal(err)
		}
	}
}
