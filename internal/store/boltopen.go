package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	lockWait  = time.Second // for another process to let go of the file
	lockRetry = 20 * time.Millisecond

	// mapSize is how much address space the file gets. When the file outgrows it,
	// bbolt has to wait for all reads, and a backup is a long one.
	mapSize = min(10<<30, math.MaxInt>>3)
)

// openFile opens and examines the database at path, or makes a new one, and takes
// away others' access.
func openFile(path string) (_ *bolt.DB, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, pathless(err)
	}
	file, err := claim(path)
	if err != nil {
		return nil, pathless(err)
	}
	// From here on bbolt owns the file: it closes it in Close, and where it fails.
	var db *bolt.DB
	err = guard(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return file, nil },
			FreelistType:    bolt.FreelistMapType,
			InitialMmapSize: mapSize,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := guard(func() error { return format(db, dir) }); err != nil {
		_ = guard(db.Close)
		return nil, err
	}
	// Not before it is known to be ours: --store may name any file by mistake.
	if err := file.Chmod(0o600); err != nil {
		_ = guard(db.Close)
		return nil, pathless(err)
	}
	return db, nil
}

// CheckBolt examines the file at path as [OpenBolt] does, and says in a few words
// what it is. It changes nothing, and makes no file.
func CheckBolt(path string) (state string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("store file %q: %w", path, pathless(err))
		}
	}()
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrNotExist) {
		return "does not exist yet", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return "is in use by another process", nil
	}
	if err == nil {
		err = examine(file)
	}
	if err != nil {
		return "", err
	}
	if info, err := file.Stat(); err != nil || info.Size() == 0 {
		return "is empty", err
	}
	err = guard(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{
			ReadOnly: true,
			OpenFile: func(string, int, os.FileMode) (*os.File, error) { return file, nil },
		})
		if err != nil {
			return err
		}
		return errors.Join(db.View(checkFormat), db.Close())
	})
	return "is a whole store", err
}

// pathless returns an error of package os without the path, which the caller
// names once, and quoted: it may have a line break in it.
func pathless(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

// claim opens the file, which may be new and empty, locks it and looks for damage.
// It changes nothing in it.
func claim(path string) (_ *os.File, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	if err := lock(file); err != nil {
		return nil, err
	}
	if err := examine(file); err != nil {
		return nil, err
	}
	return file, nil
}

// examine looks for damage in a file that is locked. An empty one is a new store.
func examine(file *os.File) error {
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Size() == 0:
		return nil
	}
	if err := checkMetas(file, info.Size()); err != nil {
		return fmt.Errorf("damaged, or not a store of this program: %w", err)
	}
	return nil
}

// lock takes the file for this process. bbolt takes the same lock again, which
// is no change; but it must not read a file that has not been examined, and
// a file is not to be examined while another process writes.
func lock(file *os.File) error {
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for giveUp := time.After(lockWait); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-retry.C:
		case <-giveUp:
			return errors.New("another process has it open")
		}
	}
}

// format refuses another program's database, and makes an empty one ours and its
// name in the directory durable: bbolt syncs the file only.
func format(db *bolt.DB, dir string) error {
	empty := false
	err := db.View(func(tx *bolt.Tx) error {
		if first, _ := tx.Cursor().First(); first == nil {
			empty = true
			return nil
		}
		return checkFormat(tx)
	})
	if err != nil || !empty {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{messagesBucket, expiryBucket, formatBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(formatBucket).Put(formatKey, formatValue)
	})
	if err != nil {
		return err
	}
	d, err := os.Open(dir) //nolint:gosec // the operator names the directory
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// checkFormat refuses another program's database, and one of a newer program.
func checkFormat(tx *bolt.Tx) error {
	bucket := tx.Bucket(formatBucket)
	switch {
	case bucket == nil || bucket.Get(formatKey) == nil:
		return errors.New("it is a database of another program")
	case !bytes.Equal(bucket.Get(formatKey), formatValue):
		return fmt.Errorf("its format is %q, this program reads %q", bucket.Get(formatKey), formatValue)
	case tx.Bucket(messagesBucket) == nil || tx.Bucket(expiryBucket) == nil:
		return errors.New("damaged: a bucket is missing")
	}
	return nil
}
