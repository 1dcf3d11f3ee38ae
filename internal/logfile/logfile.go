// Package logfile writes a log to a file a day and to stdout. At local midnight the file
// NAME in a folder becomes NAME.yymmdd, with the day that has ended.
//
// Logging never waits for a disk or for a reader of stdout. [Queue.Write] copies the line
// to memory and returns; a goroutine writes it within milliseconds. If the disk is full,
// slow, read-only, hung or gone, 4 MiB of lines wait in memory. Further lines are lost,
// counted, and logged to another logger once a minute.
package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrInUse is returned by Open if another process has locked the folder.
var ErrInUse = errors.New("another process logs to this folder")

// Open opens or creates the log called name in the folder dir, and renames it if its day
// has ended. It deletes logs that are more than days days old by the date in their name,
// or none if days is 0.
//
// Open creates the folder and locks it. It returns [ErrInUse] if another process has it, and
// fails if the folder cannot be used. A full disk is no failure: lines wait until there is
// room. If the folder disappears, it is not created again: it is probably a volume that
// will be mounted again.
//
// log gets a line when lines do not reach the file: at once, then once a minute, and when
// lines are written again. It must not write to this file.
func Open(dir, name string, days int, log *slog.Logger) (*Queue, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("logfile: %w", err)
	}
	d := &disk{dir: dir, name: name, days: days}
	if err := d.lock(); err != nil {
		d.close()
		return nil, fmt.Errorf("logfile: %s: %w", dir, err)
	}
	_, err := d.write(time.Now(), nil)
	if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		d.close()
		return nil, fmt.Errorf("logfile: %w", err)
	}
	return newQueue(d, true, log), nil
}

// A disk writes the current log in a folder, renames it at midnight and deletes old ones.
type disk struct {
	dir, name string
	days      int // 0: keep all

	folder *os.File // locked
	file   *os.File // nil while there is none
	day    string   // of the lines in file, yymmdd
}

func (d *disk) path() string { return filepath.Join(d.dir, d.name) }

// lock makes this process the only one that logs to the folder. Two processes would
// mix their lines and rename each other's log.
func (d *disk) lock() (err error) {
	if d.folder, err = os.Open(d.dir); err != nil {
		return err
	}
	err = syscall.Flock(int(d.folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return nil // not every file system has locks
}

// write appends whole lines to today's file. It returns how many bytes it wrote, which
// ends with a line. After an error the caller tries the rest again later.
func (d *disk) write(now time.Time, lines []byte) (int, error) {
	if err := d.ready(now); err != nil || len(lines) == 0 {
		return 0, err
	}
	return d.append(lines)
}

// append returns how many bytes of whole lines it wrote.
func (d *disk) append(lines []byte) (int, error) {
	n, err := d.file.Write(lines)
	if err == nil {
		return n, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if n > whole {
		// The disk is full: remove the beginning of the line that did not fit.
		// If this fails, the next open ends the torn line.
		if end, err := d.file.Seek(0, io.SeekCurrent); err == nil {
			_ = d.file.Truncate(end - int64(n-whole)) // see above
		}
	}
	d.closeFile() // a volume that was mounted again has another file
	return whole, err
}

// ready opens the file under the log's name if it is not the open one, because it was
// renamed or deleted, and renames it if its day has ended.
func (d *disk) ready(now time.Time) error {
	if !d.current() {
		d.closeFile()
		if err := d.open(now); err != nil {
			return err
		}
	}
	if d.day == day(now) {
		return nil
	}
	if err := d.keep(); err != nil {
		return err
	}
	d.closeFile()
	return d.open(now)
}

// day returns the local day as yymmdd.
func day(t time.Time) string { return t.Local().Format(dateForm) }

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

// keep renames the current log to the name of its day, without overwriting another file.
func (d *disk) keep() error {
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
	// openFlags do not follow a symbolic link, and do not wait for the reader of a
	// named pipe.
	openFlags = os.O_RDWR | os.O_APPEND | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	fileMode  = 0o640 // the operator's group may read
)

// open opens the current log, or creates it, and deletes old ones. The day of an existing
// log is that of its last write.
func (d *disk) open(now time.Time) error {
	file, err := os.OpenFile(d.path(), openFlags|os.O_CREATE|os.O_EXCL, fileMode)
	existed := errors.Is(err, fs.ErrExist)
	if existed {
		file, err = os.OpenFile(d.path(), openFlags, 0)
	}
	if err != nil {
		return err
	}
	written := now
	if existed {
		written, err = mend(file)
	} else {
		err = file.Chmod(fileMode) // undoes the umask
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return err
	}
	d.file, d.day = file, day(written)
	return d.prune(now)
}

// mend ends the last line of a log if a full disk, a kill or a power cut has torn it. It
// returns the time of the last write before that.
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

// prune deletes the kept logs of days more than d.days before today, and nothing else.
func (d *disk) prune(now time.Time) error {
	if d.days <= 0 {
		return nil
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	year, month, today := now.Local().Date()
	oldest := time.Date(year, month, today-d.days, 0, 0, 0, 0, time.UTC)
	var errs []error
	for _, entry := range entries {
		day, ok := parseKept(d.name, entry.Name())
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
	_ = d.file.Close() // write has reported what failed; a nil file has nothing to close
	d.file = nil
}

func (d *disk) close() {
	d.closeFile()
	_ = d.folder.Close() // opened for its lock only
}

// dateForm is yymmdd. Two digits of the year are enough until the end of 2068
// (POSIX and Go both read 69 as 1969).
const dateForm = "060102"

// keptName returns the name of a kept log: base.yymmdd, and base.yymmdd-n for the n-th
// other file of that day.
func keptName(base, day string, n int) string {
	if n == 0 {
		return base + "." + day
	}
	return fmt.Sprintf("%s.%s-%d", base, day, n)
}

// parseKept returns the day in a name that keptName has made, as its midnight in UTC. It
// accepts no other name, because what it accepts may be deleted.
func parseKept(base, name string) (day time.Time, ok bool) {
	suffix, ours := strings.CutPrefix(name, base+".")
	date, count, _ := strings.Cut(suffix, "-")
	day, err := time.Parse(dateForm, date)
	n, _ := strconv.Atoi(count) // 0 where there is none
	return day, ours && err == nil && n >= 0 && keptName(base, day.Format(dateForm), n) == name
}
