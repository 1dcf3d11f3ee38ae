package main

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
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
