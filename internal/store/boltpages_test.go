package store

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

// A good file that is refused would be as bad as a damaged one that is served:
// whatever bbolt writes passes, as it passes bbolt's own check.
func TestCheckPagesAcceptsWhatBoltWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.db")
	db := newDatabase(t, path, 0)
	random := rand.New(rand.NewPCG(1, 2))
	var stored []message.Key
	for round := range 120 {
		err := db.Update(func(tx *bolt.Tx) error {
			for range random.IntN(100) {
				if len(stored) > 0 && random.IntN(5) < 2+round/60 { // grows, then shrinks
					i := random.IntN(len(stored))
					if err := remove(tx, stored[i]); err != nil {
						return err
					}
					stored[i] = stored[len(stored)-1]
					stored = stored[:len(stored)-1]
					continue
				}
				var key message.Key
				binary.BigEndian.PutUint64(key[:], random.Uint64())
				stored = append(stored, key)
				if err := add(tx, key, make([]byte, 1<<random.IntN(16))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		mustPass(t, db, path)
	}
}

// More free pages than a page's header can count; and another page size, as a
// file has that comes from another machine.
func TestCheckPagesAcceptsManyFreePages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.db")
	db := newDatabase(t, path, 1024)
	key := message.Key{1}
	for _, change := range []func(*bolt.Tx) error{
		func(tx *bolt.Tx) error { return add(tx, key, make([]byte, 66_000*1024)) },
		func(tx *bolt.Tx) error { return remove(tx, key) },
		func(tx *bolt.Tx) error { return add(tx, key, nil) },
	} {
		if err := db.Update(change); err != nil {
			t.Fatal(err)
		}
		mustPass(t, db, path)
	}
}

// What bbolt's own check finds is found, and before bbolt meets it.
func TestCheckPagesRefuses(t *testing.T) {
	const size = 4096
	good := sample(t, size)
	m, err := newestMeta(good)
	if err != nil {
		t.Fatal(err)
	}
	free := int(m.freelist) * size
	root := int(m.root) * size
	messages := rootOf(t, good, messagesBucket) * size
	if kind := u16(good[messages+8:]); kind != kindBranch {
		t.Fatalf("the sample's messages are in a page of kind %d, want a branch", kind)
	}
	leaf := int(u64(good[messages+pageHeader+8:])) * size
	put16 := func(at int, v uint16) func([]byte) {
		return func(b []byte) { binary.NativeEndian.PutUint16(b[at:], v) }
	}
	put32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.NativeEndian.PutUint32(b[at:], v) }
	}
	put64 := func(at int, v uint64) func([]byte) {
		return func(b []byte) { binary.NativeEndian.PutUint64(b[at:], v) }
	}
	for name, damage := range map[string]func([]byte){
		"both roots":                      func(b []byte) { b[pageHeader+8]++; b[size+pageHeader+8]++ },
		"a free page in use":              put64(free+pageHeader, uint64(leaf/size)),
		"a free page twice":               put64(free+pageHeader, u64(good[free+pageHeader+8:])),
		"a free page that does not exist": put64(free+pageHeader, 1<<60),
		"a root as a free page":           put64(free+pageHeader, 1),
		"more free pages than fit":        put16(free+10, 0xFFFE),
		"free pages without end":          func(b []byte) { put16(free+10, 0xFFFF)(b); put64(free+pageHeader, 1<<62)(b) },
		"no list of free pages":           put16(free+8, kindLeaf),
		"a page that is another":          put64(leaf, uint64(leaf/size+1)),
		"a page without end":              put32(leaf+12, 1<<31),
		"a page over the next":            put32(leaf+12, 1),
		"a page of no kind":               put16(leaf+8, 3),
		"a list among the leaves":         put16(leaf+8, kindFreelist),
		"too many elements":               put16(leaf+10, 256),
		"an empty branch":                 put16(messages+10, 0),
		"a branch to itself":              put64(messages+pageHeader+8, uint64(messages/size)),
		"a branch to nowhere":             put64(messages+pageHeader+8, 1<<40),
		"a branch's key outside":          put32(messages+pageHeader, 1<<31),
		"a key outside":                   put32(leaf+pageHeader+4, size),
		"a key among the elements":        put32(leaf+pageHeader+4, pageElement),
		"a key too long":                  put32(leaf+pageHeader+8, 17),
		"a value outside":                 put32(leaf+pageHeader+12, 1<<31),
		"a value that overflows":          put32(leaf+pageHeader+12, 0xFFFFFFFF),
		"a record as a bucket":            put32(leaf+pageHeader, bucketFlag),
		"a record of no kind":             put32(leaf+pageHeader, 2),
		"keys out of order":               func(b []byte) { b[leaf+pageHeader+int(u32(b[leaf+pageHeader+4:]))] = 0xFF },
		"a key before its branch":         func(b []byte) { b[messages+pageHeader+int(u32(b[messages+pageHeader:]))] = 0xFF },
		"a bucket cut short":              put32(root+pageHeader+12, 8),
	} {
		bad := bytes.Clone(good)
		damage(bad)
		if err := checkPages(bad, time.Now().Add(time.Hour)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for n := range good {
		if n%size < 100 || n%size > size-100 {
			if err := checkPages(good[:n], time.Now().Add(time.Hour)); err == nil && n < int(m.pages)*size {
				t.Errorf("cut to %d of %d bytes: accepted", n, len(good))
			}
		}
	}
}

// bbolt goes on from the earlier root where the later one was torn by a power cut.
func TestCheckPagesFollowsTheRootThatIsWhole(t *testing.T) {
	const size = 4096
	good := sample(t, size)
	m, err := newestMeta(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[m.transaction%2*size+pageHeader+56]++ // its checksum
	if err := checkPages(bad, time.Now().Add(time.Hour)); err != nil {
		t.Errorf("with one root torn: %v", err)
	}
	if older, err := newestMeta(bad); err != nil || older.transaction != m.transaction-1 {
		t.Errorf("got transaction %d and %v, want %d", older.transaction, err, m.transaction-1)
	}
}

// A file too large to be looked at in time is served.
func TestCheckPagesStopsInTime(t *testing.T) {
	bad := sample(t, 4096)
	messages := rootOf(t, bad, messagesBucket) * 4096
	binary.NativeEndian.PutUint64(bad[messages:], 0)
	if err := checkPages(bad, time.Now().Add(-time.Second)); err != nil {
		t.Errorf("when its time was over: %v", err)
	}
	if err := checkPages(bad, time.Now().Add(time.Hour)); err == nil {
		t.Error("with all the time: accepted")
	}
}

func FuzzCheckPages(f *testing.F) {
	good := sample(f, 1024)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(2*1024+10), []byte{0xFF, 0xFF})
	f.Fuzz(func(_ *testing.T, at uint32, damage []byte) {
		bad := bytes.Clone(good)
		copy(bad[int(at)%len(bad):], damage)
		_ = checkPages(bad, time.Now().Add(time.Hour)) // and does not panic
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

// sample returns the file of a store with a few pages of each kind.
func sample(t testing.TB, pageSize int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "messages.db")
	db := newDatabase(t, path, pageSize)
	for i := range 4 {
		err := db.Update(func(tx *bolt.Tx) error {
			for n := range 40 {
				if err := add(tx, message.Key{1: byte(n), 2: byte(i)}, make([]byte, 100)); err != nil {
					return err
				}
			}
			return add(tx, message.Key{1: 255, 2: byte(i)}, make([]byte, 3*pageSize))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mustPass(t, db, path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func add(tx *bolt.Tx, key message.Key, value []byte) error {
	return insert(tx, &put{key: key, value: value, expires: time.Unix(1<<40, 0)})
}

func remove(tx *bolt.Tx, key message.Key) error {
	stamp := tx.Bucket(messagesBucket).Get(key[:])[:stampSize]
	if err := tx.Bucket(expiryBucket).Delete(indexKey(stamp, key)); err != nil {
		return err
	}
	return tx.Bucket(messagesBucket).Delete(key[:])
}

// mustPass fails a test whose file does not pass both checks.
func mustPass(t testing.TB, db *bolt.DB, path string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkPages(file, time.Now().Add(time.Hour)); err != nil {
		t.Fatalf("checkPages: %v", err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt's check: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rootOf returns the page that a bucket's tree begins with.
func rootOf(t testing.TB, file, name []byte) int {
	t.Helper()
	m, err := newestMeta(file)
	if err != nil {
		t.Fatal(err)
	}
	b := file[m.root*m.pageSize:]
	root := page{kind: kindLeaf, elements: int(u16(b[10:])), body: b[:m.pageSize]}
	found := 0
	err = root.each(keyRange{size: anySize}, func(i int, key []byte) error {
		if bytes.Equal(key, name) {
			e := root.element(i)
			value, _ := root.behind(i, uint64(u32(e[4:]))+uint64(len(key)), u32(e[12:]))
			found = int(u64(value))
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("no page of bucket %s: %v", name, err)
	}
	return found
}
