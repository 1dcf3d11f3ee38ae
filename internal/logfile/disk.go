package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// pruneEvery is how often old logs are looked for, besides each midnight.
const pruneEvery = time.Hour

// A disk is the writer to the current log and to what is kept of it, in one folder.
type disk struct {
	dir, name string
	days      int // 0: keep all
	loc       *time.Location

	folder *os.File    // locked; nil if the file system has no locks
	reopen atomic.Bool // set if the log may have been renamed

	file      *os.File // nil while there is none
	day       string   // of the lines in file, yymmdd
	nextPrune time.Time
	pruneErr  error
}

func (d *disk) path() string { return filepath.Join(d.dir, d.name) }

// lock makes this process the only one that logs to the folder. Two processes would
// mix their lines and rename each other's log.
func (d *disk) lock() error {
	folder, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	conn, err := folder.SyscallConn()
	var locked error
	if err == nil {
		err = conn.Control(func(fd uintptr) { locked = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	}
	switch {
	case err == nil && locked == nil:
		d.folder = folder
		return nil
	case errors.Is(locked, syscall.EWOULDBLOCK):
		err = ErrInUse
	}
	_ = folder.Close()
	return err // nil if the file system has no locks
}

// write appends whole lines to today's file. After an error the caller tries again
// later with the rest.
func (d *disk) write(now time.Time, lines []byte) (done, lost int, err error) {
	if err = d.ready(now.In(d.loc).Format(dateForm)); err == nil && len(lines) > 0 {
		done, err = d.append(lines)
	}
	if !now.Before(d.nextPrune) {
		d.pruneErr = d.prune(now)
		d.nextPrune = now.Add(pruneEvery)
	}
	return done, 0, errors.Join(err, d.pruneErr)
}

// append returns how many bytes of whole lines it wrote.
func (d *disk) append(lines []byte) (int, error) {
	n, err := d.file.Write(lines)
	if err == nil {
		return n, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if n > whole {
		// Take back the beginning of a line for whose end there was no room.
		// If this fails, the next attach ends the torn line.
		if end, err := d.file.Seek(0, io.SeekCurrent); err == nil {
			_ = d.file.Truncate(end - int64(n-whole)) // see above
		}
	}
	// Open it again next time: a volume that was mounted again has another file.
	d.closeFile()
	return whole, err
}

// ready makes sure that file is open, has a name in the folder, and is today's.
func (d *disk) ready(today string) error {
	if d.reopen.Swap(false) && !d.current() || d.deleted() {
		d.closeFile()
	}
	if d.file == nil {
		if err := d.attach(today); err != nil {
			return err
		}
	}
	if d.day == today {
		return nil
	}
	if err := d.keep(); err != nil {
		return err
	}
	d.closeFile()
	d.nextPrune = time.Time{}
	if err := d.attach(today); err != nil {
		return err
	}
	d.day = today
	return nil
}

// deleted reports whether the open file has no name any more: its lines would be gone
// when it is closed.
func (d *disk) deleted() bool {
	if d.file == nil {
		return false
	}
	info, err := d.file.Stat()
	if err != nil {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}

// current reports whether the open file is the one under the log's name.
func (d *disk) current() bool {
	if d.file == nil {
		return false
	}
	open, err := d.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(d.path())
	return err == nil && os.SameFile(open, named)
}

// keep renames the current log to the name of its day, without overwriting another
// file. It leaves a log alone that is not the open file: somebody has renamed ours.
func (d *disk) keep() error {
	if !d.current() {
		return nil
	}
	for n := 0; ; n++ {
		kept := filepath.Join(d.dir, keptName(d.name, d.day, n))
		switch _, err := os.Lstat(kept); {
		case errors.Is(err, fs.ErrNotExist):
			return os.Rename(d.path(), kept)
		case err != nil:
			return err
		}
	}
}

const (
	// appendOnly neither follows a symbolic link, nor waits for the reader of a
	// named pipe.
	appendOnly = os.O_RDWR | os.O_APPEND | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	fileMode   = 0o640 // the operator's group may read
)

// attach opens the current log, or creates it. An existing one is of the day on
// which it was last written to.
func (d *disk) attach(today string) error {
	file, err := os.OpenFile(d.path(), appendOnly|os.O_CREATE|os.O_EXCL, fileMode)
	existed := errors.Is(err, fs.ErrExist)
	if existed {
		file, err = os.OpenFile(d.path(), appendOnly, 0)
	}
	if err != nil {
		return err
	}
	day := today
	if existed {
		var written time.Time
		written, err = mend(file)
		day = written.In(d.loc).Format(dateForm)
	} else {
		err = file.Chmod(fileMode) // whatever the umask took away
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return err
	}
	d.file, d.day = file, day
	return nil
}

// mend ends the last line of a log that a full disk, a kill or a power cut has torn. It
// returns when the log was last written to before that.
func mend(file *os.File) (written time.Time, err error) {
	info, err := file.Stat()
	if err != nil {
		return time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return time.Time{}, fmt.Errorf("%s is not a regular file", file.Name())
	}
	last := []byte{'\n'}
	if info.Size() > 0 {
		_, err = file.ReadAt(last, info.Size()-1)
	}
	if err == nil && last[0] != '\n' {
		_, err = file.Write(newline)
	}
	return info.ModTime(), err
}

// prune deletes what is kept of days more than d.days before today, and nothing else.
func (d *disk) prune(now time.Time) error {
	if d.days <= 0 {
		return nil
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	year, month, today := now.In(d.loc).Date()
	oldest := time.Date(year, month, today-d.days, 0, 0, 0, 0, time.UTC)
	var errs []error
	for _, entry := range entries {
		day, _, ok := parseKept(d.name, entry.Name())
		if !ok || !day.Before(oldest) || !entry.Type().IsRegular() {
			continue
		}
		err := os.Remove(filepath.Join(d.dir, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (d *disk) closeFile() {
	if d.file != nil {
		_ = d.file.Close() // write has reported what failed
		d.file = nil
	}
}

func (d *disk) close() {
	d.closeFile()
	if d.folder != nil {
		_ = d.folder.Close()
	}
}
