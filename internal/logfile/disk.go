package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pruneEvery is how often old logs are looked for, besides each midnight.
const pruneEvery = time.Hour

// A disk writes the current log in a folder, renames it at midnight and deletes old ones.
type disk struct {
	dir, name string
	days      int // 0: keep all
	loc       *time.Location

	folder    *os.File // locked
	file      *os.File // nil while there is none
	day       string   // of the lines in file, yymmdd
	nextPrune time.Time
	pruneErr  error
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
func (d *disk) ready(today string) error {
	if !d.current() {
		d.closeFile()
		if err := d.open(today); err != nil {
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
	return d.open(today)
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

// open opens the current log, or creates it. The day of an existing one is that of its
// last write.
func (d *disk) open(today string) error {
	file, err := os.OpenFile(d.path(), openFlags|os.O_CREATE|os.O_EXCL, fileMode)
	existed := errors.Is(err, fs.ErrExist)
	if existed {
		file, err = os.OpenFile(d.path(), openFlags, 0)
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
		err = file.Chmod(fileMode) // undoes the umask
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return err
	}
	d.file, d.day = file, day
	return nil
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
	year, month, today := now.In(d.loc).Date()
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
