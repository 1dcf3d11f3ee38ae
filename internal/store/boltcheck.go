package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

// How long start-up may spend on looking for damage. A store too large to be
// walked in that time is served as far as it was seen.
const (
	walkBudget = time.Second
	// Only after a walk this quick does bbolt's own check follow, which costs
	// several times as much: it is what finds a page both free and in use.
	checkBudget = 100 * time.Millisecond
)

// examine makes a new file ours, and refuses one that is damaged or another
// program's.
func examine(db *bolt.DB, path string) error {
	return guard(func() error {
		if err := checkSize(db, path); err != nil {
			return err
		}
		fresh := false
		err := db.View(func(tx *bolt.Tx) error {
			first, _ := tx.Cursor().First()
			fresh = first == nil
			if fresh {
				return nil
			}
			return checkFormat(tx)
		})
		if err != nil {
			return err
		}
		if fresh {
			return format(db, path)
		}
		return walk(db)
	})
}

// checkSize finds a file that lost its end: reading there would fault.
func checkSize(db *bolt.DB, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("damaged: it has %d bytes and should have %d", info.Size(), tx.Size())
		}
		return nil
	})
}

// checkFormat refuses another program's database.
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

// format makes an empty database ours, and its name in the directory durable:
// bbolt syncs the file only.
func format(db *bolt.DB, path string) error {
	err := db.Update(func(tx *bolt.Tx) error {
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
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// walk reads all keys, within its budget.
func walk(db *bolt.DB) error {
	start := time.Now()
	return db.View(func(tx *bolt.Tx) error {
		if err := walkBucket(tx, messagesBucket, len(message.Key{}), start.Add(walkBudget)); err != nil {
			return err
		}
		if err := walkBucket(tx, expiryBucket, stampSize+len(message.Key{}), start.Add(walkBudget)); err != nil {
			return err
		}
		if time.Since(start) > checkBudget {
			return nil
		}
		var first error
		for err := range tx.Check() { // to its end: it would leak its goroutine
			if first == nil {
				first = fmt.Errorf("damaged: %s", err.Error())
			}
		}
		return first
	})
}

// walkBucket reads the keys of one bucket, all of the same size, until deadline.
func walkBucket(tx *bolt.Tx, name []byte, size int, deadline time.Time) error {
	cursor := tx.Bucket(name).Cursor()
	n := 0
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
		if len(k) != size {
			return fmt.Errorf("damaged: a key of bucket %q has %d bytes, want %d", name, len(k), size)
		}
		if n++; n%1024 == 0 && time.Now().After(deadline) {
			return nil
		}
	}
	return nil
}
