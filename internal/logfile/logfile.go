// Package logfile writes a log to a file a day and to stdout. At local midnight the file
// NAME in a folder becomes NAME.yymmdd, with the day that has ended.
//
// Logging never waits for a disk or for a reader of stdout. [Queue.Write] copies the line
// to memory and returns; a goroutine writes it within milliseconds. If the disk is full,
// slow, read-only, hung or gone, 4 MiB of lines wait in memory. Further lines are lost,
// counted, and logged to another logger once a minute.
package logfile

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// A Config says where a log is kept and for how long.
type Config struct {
	// Dir is the folder. Open creates it if it is missing. Nothing creates it later:
	// if it is gone, it is probably a volume that will be mounted again.
	Dir string
	// Name is the current log's name in Dir, without a separator.
	Name string
	// Days is for how many days before today a log is kept, by the date in its
	// name. Zero keeps all.
	Days int
	// Location sets midnight; nil means time.Local.
	Location *time.Location
	// Log gets a line when lines do not reach the file: at once, then once a
	// minute, and when lines are written again. It must not write to this file.
	Log *slog.Logger
}

// ErrInUse is returned by Open if another process has locked the folder.
var ErrInUse = errors.New("another process logs to this folder")

// Open locks the folder, opens or creates the log, renames it if its day has ended, and
// deletes old ones. It returns [ErrInUse] if another process has the folder, and fails if
// the folder cannot be used. A full disk is no failure: lines wait until there is room.
func Open(c Config) (*Queue, error) {
	if c.Location == nil {
		c.Location = time.Local
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("logfile: %w", err)
	}
	d := &disk{dir: c.Dir, name: c.Name, days: c.Days, loc: c.Location}
	if err := d.lock(); err != nil {
		d.close()
		return nil, fmt.Errorf("logfile: %s: %w", c.Dir, err)
	}
	_, _, err := d.write(time.Now(), nil)
	if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		d.close()
		return nil, fmt.Errorf("logfile: %w", err)
	}
	return newQueue(d, c.Log), nil
}
