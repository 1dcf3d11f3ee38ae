// Package logfile writes a log to a file a day and to stdout. The file NAME in a
// folder becomes NAME.yymmdd of the day that ended, at local midnight.
//
// Logging never waits for a disk or for a reader of stdout. [Queue.Write] copies the line
// to memory and returns; a goroutine writes it within milliseconds. If the disk is full,
// slow, read-only, hung or gone, a few megabytes of lines wait in memory. Further
// lines are lost, counted, and reported once a minute. The report goes to a hook that
// must not log to the same file, so use a file together with stdout.
package logfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A Config says where a log is kept and for how long.
type Config struct {
	// Dir is the folder. Open creates it if it is missing. Nothing creates it later:
	// somebody removed it on purpose, or it is a volume that will be back.
	Dir string
	// Name is the current log's name in Dir, without a separator.
	Name string
	// Days is for how many days before today a log is kept, by the date in its
	// name. Zero keeps all.
	Days int
	// Location sets midnight; nil means time.Local.
	Location *time.Location
	// Report is called when lines do not reach the file: at once, then once a
	// minute while it lasts, and when lines are written again. Calls do not
	// overlap. Nil reports nothing. [LogTo] makes one.
	Report func(Report)
}

// ErrInUse is returned by Open if another process has the folder.
var ErrInUse = errors.New("another process logs to this folder")

// A File is a [Queue] in front of a file a day.
type File struct {
	*Queue
	disk *disk
}

// Open locks the folder, opens or creates the log, and keeps and deletes what is due.
// It returns [ErrInUse] if another process has the folder, and fails if the folder
// cannot be used. A full disk is no failure: lines wait until there is room.
func Open(c Config) (*File, error) {
	if c.Location == nil {
		c.Location = time.Local
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("logfile: %w", err)
	}
	d := &disk{dir: c.Dir, name: c.Name, days: c.Days, loc: c.Location}
	if err := d.lock(); err != nil {
		return nil, fmt.Errorf("logfile: %s: %w", c.Dir, err)
	}
	_, _, err := d.write(time.Now(), nil)
	if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		d.close()
		return nil, fmt.Errorf("logfile: %w", err)
	}
	return &File{newQueue(d, c.Report), d}, nil
}

// Reopen makes the next write go to the file that has the log's name then. It is for
// SIGHUP, after another program has renamed or removed the log.
func (f *File) Reopen() {
	f.disk.reopen.Store(true)
	f.signal()
}
