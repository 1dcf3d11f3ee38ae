package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// A messageStore is a [message.Store] with what the service needs besides.
type messageStore interface {
	message.Store
	Ping(context.Context) error
	Close() error
}

// openStore opens the store that --store names.
func (o *options) openStore(log *slog.Logger) (messageStore, error) {
	if path, ok := o.filePath(); ok {
		b, err := store.OpenBolt(path, log)
		if err != nil {
			err = fmt.Errorf("--store: %w", err)
		}
		if folder, _ := os.Getwd(); err != nil && !filepath.IsAbs(path) {
			err = fmt.Errorf("%w (the path is relative to %s: name an absolute one)", err, folder)
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, usageError{err}
		}
		if err != nil {
			return nil, err
		}
		return b, nil
	}
	r, err := o.redisStore(log)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// storeKind returns the scheme of --store: file, redis or rediss.
func (o *options) storeKind() string {
	kind, _, _ := strings.Cut(o.Store, ":")
	return kind
}
