package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// lockWait is how long a start waits for another process to release the file.
	lockWait = time.Second

	// mapSize is how much address space the file gets. When the file outgrows it,
	// bbolt has to wait for all reads, and a backup is a long one.
	mapSize = min(10<<30, math.MaxInt>>3)
)

var errInUse = errors.New("another process has it open")

// openFile opens the database at path, or makes one, and takes away others'
// access.
func openFile(path string) (*bolt.DB, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, pathless(err)
	}
	db, err := openDatabase(path, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType, InitialMmapSize: mapSize})
	if err != nil {
		return nil, pathless(err)
	}
	err = guard(func() error {
		if err := format(db, dir); err != nil {
			return err
		}
		// Not before the file is known to be ours: --store may name any file by mistake.
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		_ = guard(db.Close)
		return nil, pathless(err)
	}
	return db, nil
}

// openDatabase is bolt.Open with errors that an operator understands.
func openDatabase(path string, options *bolt.Options) (db *bolt.DB, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file") // opening a pipe would wait for its other end
	}
	err = guard(func() error {
		db, err = bolt.Open(path, 0o600, options)
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, errInUse
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("damaged, or not a store of this program: %w", err)
	}
	return db, err
}

// CheckBolt examines the file at path as [OpenBolt] does, and says in a few words
// what it is. It changes nothing, and makes no file.
func CheckBolt(path string) (state string, err error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist yet", nil
	case err == nil && info.Mode().IsRegular() && info.Size() == 0:
		return "is empty", nil
	}
	db, err := openDatabase(path, &bolt.Options{ReadOnly: true, Timeout: time.Nanosecond}) // one attempt to lock it
	if errors.Is(err, errInUse) {
		return "is in use by another process", nil
	}
	if err == nil {
		err = guard(func() error { return errors.Join(db.View(checkFile), db.Close()) })
	}
	if err != nil {
		return "", fmt.Errorf("store file %q: %w", path, pathless(err))
	}
	return "is a whole store", nil
}

// pathless returns an error of package os without the path, which the caller
// names once, and quoted: it may have a line break in it.
func pathless(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

// format refuses a file that is damaged or another program's. It makes an empty
// one ours, and its name in the directory durable: bbolt syncs the file only.
func format(db *bolt.DB, dir string) error {
	empty := false
	err := db.View(func(tx *bolt.Tx) error {
		if first, _ := tx.Cursor().First(); first == nil {
			empty = true
			return nil
		}
		return checkFile(tx)
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

// checkFile refuses a file that is shorter than its root says, which bbolt finds
// out only when it reads there, and what checkFormat refuses.
func checkFile(tx *bolt.Tx) error {
	info, err := os.Stat(tx.DB().Path())
	if err != nil {
		return err
	}
	if want := tx.Size(); info.Size() < want {
		return fmt.Errorf("damaged: it has %d bytes and should have %d", info.Size(), want)
	}
	return checkFormat(tx)
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
