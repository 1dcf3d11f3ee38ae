package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk is the current log and what is kept of it, in one folder. It has one
// owner, knows no clock and starts nothing: the day is an argument.
//
// Another process may by mistake log to the same folder. What keeps the two
// from losing, mixing or misplacing lines:
//
//   - lines are appended (O_APPEND), whole, under a lock on the file;
//   - into one file, whatever it is called by now, each process writes lines of
//     one day only;
//   - the current log is renamed only by a process that holds the lock on that
//     very file and has seen it under the current name since. Of two that find
//     it out of date one renames it; the other then finds a new file there, and
//     leaves that alone.
type disk struct {
	dir, name string
	days      int // 0: keep all
	loc       *time.Location

	file *os.File // nil while there is none
	day  day      // of the lines in file
}

func (k *disk) path() string { return filepath.Join(k.dir, k.name) }

// write appends whole lines of day d, after closing the file of another day. It
// returns how many bytes of whole lines are in the file, also on error; after
// one the caller tries again later with the rest.
func (k *disk) write(d day, lines []byte) (int, error) {
	if err := k.ready(d); err != nil {
		return 0, err
	}
	n, err := k.append(lines)
	if err != nil {
		// Opened anew next time: the file may have come back as another one, on
		// a volume that was mounted again.
		k.close()
	}
	return n, err
}

// append is write without the care for days.
func (k *disk) append(lines []byte) (int, error) {
	unlock, err := lock(k.file)
	if err != nil {
		return 0, err
	}
	defer unlock()
	n, err := k.file.Write(lines)
	if err == nil {
		return n, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if n > whole {
		// Take back the beginning of a line for whose end there was no room.
		// Should that fail, the next to open the file ends the torn line.
		if end, err := k.file.Seek(0, io.SeekCurrent); err == nil {
			_ = k.file.Truncate(end - int64(n-whole)) // see above
		}
	}
	return whole, err
}

// ready sees to an open file that exists in the folder, for lines of day d.
func (k *disk) ready(d day) error {
	if k.file != nil && k.deleted() {
		// What goes into a file without a name is gone when it is closed.
		k.close()
	}
	if k.file == nil {
		return k.open(d)
	}
	return k.roll(d)
}

func (k *disk) deleted() bool {
	info, err := k.file.Stat()
	if err != nil {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}

// open opens the current log for lines of day d. A log that was last written to
// on another day is kept as that day's first.
func (k *disk) open(d day) error {
	written, err := k.attach()
	if err != nil {
		return err
	}
	k.day = d
	if !written.IsZero() {
		k.day = dayOf(written, k.loc)
	}
	return k.roll(d)
}

// roll, if the open file is not of day d, keeps it as its day's and opens a new
// one. On error the file stays open, and is still that of its day.
func (k *disk) roll(d day) error {
	if k.day == d {
		return nil
	}
	if err := k.keep(); err != nil {
		return err
	}
	k.close() // and with it the lock
	// What is there now has been made since by another process: it is of today,
	// whatever its time of modification says by a few milliseconds.
	if _, err := k.attach(); err != nil {
		return err
	}
	k.day = d
	return nil
}

// keep renames the current log, if it is the open file: otherwise another
// process, or the operator, has renamed it already.
func (k *disk) keep() error {
	unlock, err := lock(k.file)
	if err != nil {
		return err
	}
	defer unlock()
	if current, err := k.current(); err != nil || !current {
		return err
	}
	for n := 0; ; n++ {
		kept := filepath.Join(k.dir, keptName(k.name, k.day, n))
		switch _, err := os.Lstat(kept); {
		case errors.Is(err, fs.ErrNotExist):
			return os.Rename(k.path(), kept)
		case err != nil:
			return err
		}
	}
}

// current reports whether the open file is the one under the current name.
func (k *disk) current() (bool, error) {
	open, err := k.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(k.path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(open, named), err
}

// lock waits until no other process writes to this file or renames it.
func lock(file *os.File) (unlock func(), err error) {
	if err := flock(file, syscall.LOCK_EX); errors.Is(err, errors.ErrUnsupported) {
		return func() {}, nil // a filesystem without locks is for one process
	} else if err != nil {
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	// Unlocking cannot fail in a way that closing the file does not mend.
	return func() { _ = flock(file, syscall.LOCK_UN) }, nil
}

func flock(file *os.File, how int) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	err = conn.Control(func(fd uintptr) {
		for locked = syscall.EINTR; errors.Is(locked, syscall.EINTR); {
			locked = syscall.Flock(int(fd), how)
		}
	})
	return errors.Join(err, locked)
}

// reopen turns to the file that has the current name now, where another program
// has renamed or removed the open one.
func (k *disk) reopen(d day) error {
	if k.file != nil {
		if current, err := k.current(); err == nil && current {
			return nil
		}
		k.close()
	}
	return k.open(d)
}

const (
	// appendOnly: never through a link that somebody laid, and never waiting for
	// the reader of a named pipe.
	appendOnly = os.O_RDWR | os.O_APPEND | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	fileMode   = 0o640 // the operator's group may read, nobody else
)

// attach opens the current log, or makes it. It returns when an existing one was
// last written to, otherwise the zero time.
func (k *disk) attach() (written time.Time, err error) {
	file, err := os.OpenFile(k.path(), appendOnly|os.O_CREATE|os.O_EXCL, fileMode)
	existed := errors.Is(err, fs.ErrExist)
	if existed {
		file, err = os.OpenFile(k.path(), appendOnly, 0)
	}
	if err != nil {
		return time.Time{}, err
	}
	if existed {
		written, err = mend(file)
	} else {
		err = file.Chmod(fileMode) // whatever the umask took away
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return time.Time{}, err
	}
	k.file = file
	return written, nil
}

// mend ends the last line of a log if it was torn by a full disk, a kill or a power
// cut: the next one would become part of it. It returns when the log was last
// written to before that.
func mend(file *os.File) (written time.Time, err error) {
	unlock, err := lock(file)
	if err != nil {
		return time.Time{}, err
	}
	defer unlock()
	info, err := file.Stat()
	if err != nil {
		return time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return time.Time{}, fmt.Errorf("%s is not a regular file", file.Name())
	}
	last := newline
	if info.Size() > 0 {
		last = make([]byte, 1)
		_, err = file.ReadAt(last, info.Size()-1)
	}
	if err == nil && last[0] != '\n' {
		_, err = file.Write(newline)
	}
	return info.ModTime(), err
}

func (k *disk) close() {
	if k.file != nil {
		_ = k.file.Close() // all that was to be known write has said
		k.file = nil
	}
}

// prune deletes what is kept of days more than k.days before today, and touches
// nothing else, least of all what only looks like it.
func (k *disk) prune(today day) error {
	if k.days <= 0 {
		return nil
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		d, _, ok := parseKept(k.name, entry.Name())
		if !ok || d >= today-day(k.days) || !entry.Type().IsRegular() {
			continue
		}
		err := os.Remove(filepath.Join(k.dir, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
