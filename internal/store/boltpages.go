package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"messaging_api/internal/message"
)

// bbolt believes what it reads. A damaged number sends it outside its memory
// map, around a loop over 2^32 pages, or to allocate terabytes, and its own
// check (Tx.Check) does all that in a goroutine where nobody can recover. So
// what follows looks at the file before bbolt does, and it looks at everything
// that bbolt will believe: that each page is what it says and is used once, that
// all in it lies within it, and that keys are in order. Values have no checksum;
// their seals show damage when they are read.
//
// The layout is that of bbolt's file format 2, which is in the byte order of
// the machine: go.etcd.io/bbolt/internal/common, page.go, meta.go and bucket.go.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader   = 16 // id (8 bytes), kind (2), elements (2), further pages that belong to it (4)
	pageElement  = 16 // in a leaf: flags, position, key size, value size; in a branch: position, key size, page (8)
	bucketHeader = 16 // root page (8), sequence number (8)
	metaEnd      = pageHeader + 64

	kindBranch   = 0x01
	kindLeaf     = 0x02
	kindFreelist = 0x10

	bucketFlag = 1 // of a leaf's element: its value is a bucket
)

// keySize is that of all keys of a bucket of ours, or anySize.
func keySize(bucket []byte) int {
	switch {
	case bytes.Equal(bucket, messagesBucket):
		return len(message.Key{})
	case bytes.Equal(bucket, expiryBucket):
		return indexSize
	default:
		return anySize
	}
}

const anySize = -1

// errStopped: the time for looking at pages was over.
var errStopped = errors.New("stopped")

// checkPages returns what is wrong with a bbolt file, or nil where it found
// nothing until its time was over. It never panics, whatever file holds.
func checkPages(file []byte, until time.Time) error {
	m, err := newestMeta(file)
	if err != nil {
		return err
	}
	c := checker{
		file:  file,
		size:  m.pageSize,
		pages: m.pages,
		used:  make([]bool, m.pages),
		until: until,
	}
	if err := c.freelist(m.freelist); err != nil {
		return err
	}
	if err := c.tree(m.root, keyRange{size: anySize}); !errors.Is(err, errStopped) {
		return err
	}
	return nil
}

// A meta is the root of everything: bbolt keeps two, and writes them in turn.
type meta struct {
	pageSize, root, freelist, pages, transaction uint64
}

// newestMeta chooses as bbolt does: the later of those that are whole.
func newestMeta(file []byte) (meta, error) {
	first, ok := readMeta(file)
	if ok {
		if second, ok := readMeta(tail(file, first.pageSize)); ok && second.transaction > first.transaction {
			first = second
		}
		return first.within(uint64(len(file)))
	}
	for size := uint64(1 << 10); size <= 1<<24; size <<= 1 {
		if second, ok := readMeta(tail(file, size)); ok && second.pageSize == size {
			return second.within(uint64(len(file)))
		}
	}
	return meta{}, errors.New("neither of its two roots is whole")
}

// readMeta reads the meta page that b begins with, if it is whole.
func readMeta(b []byte) (meta, bool) {
	if len(b) < metaEnd {
		return meta{}, false
	}
	b = b[pageHeader:metaEnd]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	if u32(b) != boltMagic || u32(b[4:]) != boltVersion || u64(b[56:]) != sum.Sum64() {
		return meta{}, false
	}
	return meta{
		pageSize:    uint64(u32(b[8:])),
		root:        u64(b[16:]),
		freelist:    u64(b[32:]),
		pages:       u64(b[40:]),
		transaction: u64(b[48:]),
	}, true
}

// within returns m if all its pages lie within a file of that size.
func (m meta) within(size uint64) (meta, error) {
	switch {
	case m.pageSize < 1<<10 || m.pageSize > 1<<24 || m.pageSize&(m.pageSize-1) != 0:
		return meta{}, fmt.Errorf("its pages are %d bytes", m.pageSize)
	case m.pages > size/m.pageSize:
		return meta{}, fmt.Errorf("it has %d bytes and should have %d pages of %d", size, m.pages, m.pageSize)
	}
	return m, nil
}

// A checker looks at a file's pages, each once.
type checker struct {
	file  []byte
	size  uint64 // of a page
	pages uint64 // how many there are: whatever a page refers to is below
	used  []bool // the pages that were met
	until time.Time
}

// page returns the page with that id, which nothing may have referred to before.
func (c *checker) page(id uint64) (page, error) {
	if id < 2 || id >= c.pages { // the first two are metas
		return page{}, fmt.Errorf("page %d: there is none", id)
	}
	b := c.file[id*c.size:]
	further := uint64(u32(b[12:]))
	switch {
	case u64(b) != id:
		return page{}, fmt.Errorf("page %d: calls itself %d", id, u64(b))
	case further >= c.pages-id:
		return page{}, fmt.Errorf("page %d: ends outside the file", id)
	}
	for i := id; i <= id+further; i++ {
		if err := c.use(i); err != nil {
			return page{}, err
		}
	}
	return page{id: id, kind: u16(b[8:]), elements: int(u16(b[10:])), body: b[:(1+further)*c.size]}, nil
}

// use notes that a page is taken.
func (c *checker) use(id uint64) error {
	if c.used[id] {
		return fmt.Errorf("page %d: used twice", id)
	}
	c.used[id] = true
	return nil
}

// freelist notes the free pages as taken, and those that list them: whatever
// uses one of them besides would be overwritten.
func (c *checker) freelist(id uint64) error {
	p, err := c.page(id)
	if err != nil {
		return err
	}
	list, n := p.body[pageHeader:], uint64(u16(p.body[10:]))
	if n == 0xFFFF { // too many for the header's field
		list, n = list[8:], u64(list)
	}
	if p.kind != kindFreelist || n > uint64(len(list)/8) {
		return fmt.Errorf("page %d: not a list of free pages", id)
	}
	for ; n > 0; n-- {
		free := u64(list)
		list = list[8:]
		if free < 2 || free >= c.pages {
			return fmt.Errorf("page %d: lists page %d, and there is none", id, free)
		}
		if err := c.use(free); err != nil {
			return err
		}
	}
	return nil
}

// tree looks at a page and all below it.
func (c *checker) tree(id uint64, keys keyRange) error {
	if time.Now().After(c.until) {
		return errStopped
	}
	p, err := c.page(id)
	if err != nil {
		return err
	}
	switch p.kind {
	case kindLeaf:
		return c.leaf(p, keys)
	case kindBranch:
		return c.branch(p, keys)
	default:
		return fmt.Errorf("page %d: neither a leaf nor a branch", id)
	}
}

// branch looks at a page whose elements are pages, and at those.
func (c *checker) branch(p page, keys keyRange) error {
	var from [][]byte
	err := p.each(keys, func(_ int, key []byte) error {
		from = append(from, key)
		return nil
	})
	if err != nil {
		return err
	}
	if len(from) == 0 {
		return fmt.Errorf("page %d: an empty branch", p.id)
	}
	for i, key := range from {
		below := keyRange{from: key, before: keys.before, size: keys.size}
		if i+1 < len(from) {
			below.before = from[i+1]
		}
		if err := c.tree(u64(p.element(i)[8:]), below); err != nil {
			return err
		}
	}
	return nil
}

// leaf looks at a page whose elements are records or buckets.
func (c *checker) leaf(p page, keys keyRange) error {
	return p.each(keys, func(i int, key []byte) error {
		e := p.element(i)
		value, ok := p.behind(i, uint64(u32(e[4:]))+uint64(len(key)), u32(e[12:]))
		switch {
		case !ok:
			return fmt.Errorf("page %d: a value lies outside it", p.id)
		case u32(e) == bucketFlag:
			return c.bucket(p.id, key, value)
		case u32(e) != 0:
			return fmt.Errorf("page %d: an element of an unknown kind", p.id)
		case keys.size != anySize && keys.size != len(key):
			return fmt.Errorf("page %d: a key of %d bytes, want %d", p.id, len(key), keys.size)
		}
		return nil
	})
}

// bucket looks at a bucket: its root page, or, where it is small, all of it in
// the place of that page.
func (c *checker) bucket(id uint64, name, value []byte) error {
	keys := keyRange{size: keySize(name)}
	if len(value) < bucketHeader {
		return fmt.Errorf("page %d: a bucket is cut short", id)
	}
	if root := u64(value); root != 0 {
		return c.tree(root, keys)
	}
	inner := value[bucketHeader:]
	if len(inner) < pageHeader || u16(inner[8:]) != kindLeaf {
		return fmt.Errorf("page %d: a bucket without a page", id)
	}
	return c.leaf(page{id: id, kind: kindLeaf, elements: int(u16(inner[10:])), body: inner}, keys)
}

// A page is one together with those that belong to it.
type page struct {
	id       uint64
	kind     uint16
	elements int
	body     []byte // from its header on
}

// A keyRange is what the keys below a branch may be: from the branch's own key
// on, before that of the next branch. nil is no bound.
type keyRange struct {
	from, before []byte
	size         int
}

// each calls visit with each key of a leaf or a branch. They are in order, and
// in the range.
func (p page) each(keys keyRange, visit func(i int, key []byte) error) error {
	if pageHeader+p.elements*pageElement > len(p.body) {
		return fmt.Errorf("page %d: has no room for its %d elements", p.id, p.elements)
	}
	at := 0 // where an element tells of its key
	if p.kind == kindLeaf {
		at = 4
	}
	last := keys.from
	for i := range p.elements {
		e := p.element(i)
		key, ok := p.behind(i, uint64(u32(e[at:])), u32(e[at+4:]))
		if !ok {
			return fmt.Errorf("page %d: a key lies outside it", p.id)
		}
		order := bytes.Compare(last, key)
		if order > 0 || order == 0 && i > 0 || keys.before != nil && bytes.Compare(key, keys.before) >= 0 {
			return fmt.Errorf("page %d: keys are out of order", p.id)
		}
		last = key
		if err := visit(i, key); err != nil {
			return err
		}
	}
	return nil
}

// element returns the i-th element and what follows.
func (p page) element(i int) []byte { return p.body[pageHeader+i*pageElement:] }

// behind returns size bytes at a distance from the i-th element, if they lie in
// the page and behind all elements.
func (p page) behind(i int, distance uint64, size uint32) ([]byte, bool) {
	element, data := pageHeader+i*pageElement, pageHeader+p.elements*pageElement
	start := uint64(element) + distance //nolint:gosec // less than 2^21
	end := start + uint64(size)
	if start < uint64(data) || end > uint64(len(p.body)) { //nolint:gosec // less than 2^21
		return nil, false
	}
	return p.body[start:end], true
}

// tail is b from offset on, or nothing.
func tail(b []byte, offset uint64) []byte { return b[min(offset, uint64(len(b))):] }

func u16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }
