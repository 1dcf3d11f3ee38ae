package store

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

func TestCheckMetas(t *testing.T) {
	const size = 4096
	good := sample(t, size)
	m, err := newestMeta(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	newest := int(m.transaction%2) * size
	for name, test := range map[string]struct {
		damage func([]byte) []byte
		fails  bool
	}{
		"whole":        {func(b []byte) []byte { return b }, false},
		"longer":       {func(b []byte) []byte { return append(b, 0) }, false},
		"one root":     {func(b []byte) []byte { b[newest+pageHeader+56]++; return b }, false}, // bbolt goes on from the other
		"both roots":   {func(b []byte) []byte { b[pageHeader+8]++; b[size+pageHeader+8]++; return b }, true},
		"cut":          {func(b []byte) []byte { return b[:int(m.pages)*size-1] }, true},
		"cut to roots": {func(b []byte) []byte { return b[:2*size] }, true},
		"cut in one":   {func(b []byte) []byte { return b[:50] }, true},
		"zeros":        {func(b []byte) []byte { clear(b); return b }, true},
	} {
		bad := test.damage(bytes.Clone(good))
		if err := checkMetas(bytes.NewReader(bad), int64(len(bad))); (err != nil) != test.fails {
			t.Errorf("%s: got %v, want an error: %t", name, err, test.fails)
		}
	}
}

func FuzzCheckMetas(f *testing.F) {
	good := sample(f, 1024)
	f.Add(uint32(pageHeader+8), []byte{0xFF, 0xFF})
	f.Add(uint32(1024+pageHeader+40), binary.NativeEndian.AppendUint64(nil, 1<<62))
	f.Fuzz(func(_ *testing.T, at uint32, damage []byte) {
		bad := bytes.Clone(good)
		copy(bad[int(at)%len(bad):], damage)
		_ = checkMetas(bytes.NewReader(bad), int64(len(bad))) // and does not panic
	})
}

// newDatabase returns an empty store's database.
func newDatabase(t testing.TB, path string, pageSize int) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize, NoSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := format(db, filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	return db
}

// sample returns the file of a store with a few messages.
func sample(t testing.TB, pageSize int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "messages.db")
	db := newDatabase(t, path, pageSize)
	for i := range 4 {
		err := db.Update(func(tx *bolt.Tx) error {
			key := message.Key{byte(i)}
			return insert(tx, key[:], make([]byte, 3*pageSize), noon)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
