package store

import (
	"context"
	"errors"
	"io"

	bolt "go.etcd.io/bbolt"
)

// Backup writes to w a copy of the file as it is at one moment, while the store
// serves. It calls begin with the number of bytes before it writes the first.
// While it runs, the file grows by what is written meanwhile, so w has to have a
// deadline. It ends early where ctx ends or the store is closed.
func (b *Bolt) Backup(ctx context.Context, w io.Writer, begin func(size int64)) error {
	err := guard(func() error {
		return b.db.View(func(tx *bolt.Tx) error {
			begin(tx.Size())
			_, err := tx.WriteTo(backupWriter{ctx, b.quit, w})
			return err
		})
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// A backupWriter refuses to write once the backup has to end.
type backupWriter struct {
	ctx  context.Context
	quit <-chan struct{}
	w    io.Writer
}

func (b backupWriter) Write(p []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	case <-b.quit:
		return 0, errors.New("the store is closed")
	default:
		return b.w.Write(p)
	}
}
