package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The start of bbolt's file format 2, which is in the byte order of the machine:
// go.etcd.io/bbolt/internal/common, meta.go and page.go.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	pageHeader  = 16
	metaSize    = 64
	minPage     = 1 << 10
	maxPage     = 1 << 24
)

// A meta is the root of everything in a file. bbolt keeps two, on the first two
// pages, and writes them in turn.
type meta struct{ pageSize, pages, transaction uint64 }

// checkMetas refuses a file of that size whose metas are damaged, or which is
// shorter than they say: bbolt finds the second out by a fault in its memory map.
func checkMetas(file io.ReaderAt, size int64) error {
	m, err := newestMeta(file)
	switch {
	case err != nil:
		return err
	case m.pageSize < minPage || m.pageSize > maxPage || m.pageSize&(m.pageSize-1) != 0:
		return fmt.Errorf("its pages are %d bytes", m.pageSize)
	case m.pages > uint64(size)/m.pageSize: //nolint:gosec // a file's size
		return fmt.Errorf("it has %d bytes and should have %d pages of %d", size, m.pages, m.pageSize)
	}
	return nil
}

// newestMeta chooses as bbolt does: the later of those that are whole.
func newestMeta(file io.ReaderAt) (meta, error) {
	first, ok := readMeta(file, 0)
	if ok {
		if second, ok := readMeta(file, first.pageSize); ok && second.transaction > first.transaction {
			return second, nil
		}
		return first, nil
	}
	for size := uint64(minPage); size <= maxPage; size <<= 1 {
		if second, ok := readMeta(file, size); ok && second.pageSize == size {
			return second, nil
		}
	}
	return meta{}, errors.New("neither of its two roots is whole")
}

// readMeta reads the meta of the page at offset, if it is whole.
func readMeta(file io.ReaderAt, offset uint64) (meta, bool) {
	b := make([]byte, metaSize)
	if _, err := file.ReadAt(b, int64(offset)+pageHeader); err != nil { //nolint:gosec // at most maxPage, or 32 bits
		return meta{}, false
	}
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	if u32(b) != boltMagic || u32(b[4:]) != boltVersion || u64(b[56:]) != sum.Sum64() {
		return meta{}, false
	}
	return meta{pageSize: uint64(u32(b[8:])), pages: u64(b[40:]), transaction: u64(b[48:])}, true
}
