package store

import (
	"os"
	"syscall"
)

// Space returns how many bytes of the disk messages take up, and how many they
// could: with the pages that are free in the file, which never shrinks, and what
// the disk has left for others than root. Where the file or the disk cannot be
// asked both are zero.
func (b *Bolt) Space() (used, limit uint64) {
	path := b.db.Path()
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(path, &disk); err != nil {
		return 0, 0
	}
	st := b.db.Stats()
	size := uint64(info.Size())                                             //nolint:gosec // never negative
	free := uint64(st.FreePageN+st.PendingPageN) * uint64(os.Getpagesize()) //nolint:gosec // never negative
	// The two fields have other types on other systems.
	left := uint64(disk.Bavail) * uint64(disk.Bsize) //nolint:gosec,unconvert // never negative
	return size - min(free, size), size + left
}
