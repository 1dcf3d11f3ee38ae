package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"messaging_api/internal/store"
)

// backupWait bounds the wait for a backup's client to read the next bytes. As long as a
// backup runs, the store's file cannot reuse its free pages.
const backupWait = 30 * time.Second

// A backupHandler answers with a copy of the embedded store, on the operations
// listener. The copy holds sealed messages and no keys.
type backupHandler struct {
	messages messageStore
	log      *slog.Logger
	running  sync.Mutex // one backup at a time
}

func (h *backupHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := h.messages.(*store.Bolt)
	if !ok {
		http.Error(w, "the messages are in Redis: back that up", http.StatusNotImplemented)
		return
	}
	if !h.running.TryLock() {
		http.Error(w, "another backup is running", http.StatusConflict)
		return
	}
	defer h.running.Unlock()
	size := int64(0)
	err := file.Backup(r.Context(), &backupStream{w, http.NewResponseController(w)}, func(bytes int64) {
		size = bytes
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	})
	if err != nil {
		h.log.Error("a backup failed", "event", "backup", "error", err)
		panic(http.ErrAbortHandler) // tells the client that the copy is not complete
	}
	h.log.Info("a backup was made", "event", "backup", "bytes", size)
}

// A backupStream is an answer that its client has to keep reading.
type backupStream struct {
	w       io.Writer
	control *http.ResponseController
}

func (s *backupStream) Write(p []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(backupWait)); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

// backup is the command: it copies the embedded store of the service on this
// machine to a new file.
func backup(ctx context.Context, o *options, path string) (err error) {
	answer, err := o.askOps(ctx, http.MethodGet, "/backup")
	if err != nil {
		return fmt.Errorf("no backup: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return fmt.Errorf("no backup: %s: %s", answer.Status, strings.TrimSpace(string(reason)))
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return usageError{fmt.Errorf("no backup: %w", err)}
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("no backup: %w", err), os.Remove(path))
		}
	}()
	_, err = io.Copy(file, answer.Body)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if _, err = store.CheckBolt(path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	directory, err := os.Open(path) //nolint:gosec // the operator names the file in it
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
