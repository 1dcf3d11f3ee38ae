// Package logfile keeps a log in a file a day: NAME in a folder, which at local
// midnight becomes NAME.yymmdd of the day that closed, for so many days. Beside it
// an [Output] takes the lines to stdout.
//
// Whoever logs never waits for the disk. [File.Write] copies the line to memory
// and returns; a goroutine takes it to the file within milliseconds. A disk that is
// full, slow, read-only, hung or gone costs the request nothing: a few megabytes
// of lines wait in memory until it is back, beyond that lines are lost, counted, and the
// loss is said once a minute to a hook, which must lead elsewhere. So the file
// is to go with an output that needs no disk: see [Tee].
package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// A Config says where a log is kept and for how long.
type Config struct {
	// Dir is the folder. It is made by Open where it is missing, and never later: a
	// folder that has gone was somebody's decision, or a volume that will be back.
	Dir string
	// Name is the current log's name in it, without a separator.
	Name string
	// Days is for how many days before today a log is kept, by the date in its
	// name. Zero keeps all.
	Days int
	// Location is whose midnight it is; nil means time.Local.
	Location *time.Location
	// Report is told when lines do not reach the file, at once and then once a
	// minute while it lasts, and when all is well again. It is never called twice
	// at once; nil means that nobody is told. [LogTo] makes one.
	Report func(Report)
}

// A File is an io.WriteCloser, safe for concurrent use, for whole lines.
type File struct {
	queue  queue
	teller *teller
	reopen chan struct{} // holds a token if Reopen has been called

	stop    chan struct{} // closed by Close
	written chan struct{} // closed when the scribe has finished
	hush    chan struct{} // closed when the teller shall finish
	told    chan struct{} // closed when it has
}

// Open opens or makes the log, and closes and deletes what is due. It fails where
// the folder cannot be used; one that is merely full will have room again, and
// is no reason not to start.
func Open(c Config) (*File, error) {
	if c.Location == nil {
		c.Location = time.Local
	}
	if c.Report == nil {
		c.Report = func(Report) {}
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("logfile: %w", err)
	}
	f, s := newFile(c)
	now := time.Now()
	if err := s.disk.open(dayOf(now, c.Location)); err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return nil, fmt.Errorf("logfile: %w", err)
	}
	f.start(s, s.step(now))
	return f, nil
}

func newFile(c Config) (*File, *scribe) {
	f := &File{
		queue:   newQueue(func() day { return dayOf(time.Now(), c.Location) }),
		teller:  newTeller(c.Report),
		reopen:  make(chan struct{}, 1),
		stop:    make(chan struct{}),
		written: make(chan struct{}),
		hush:    make(chan struct{}),
		told:    make(chan struct{}),
	}
	return f, &scribe{
		disk:   disk{dir: c.Dir, name: c.Name, days: c.Days, loc: c.Location},
		take:   f.queue.take,
		teller: f.teller,
	}
}

// start begins writing; the scribe has something to do at due.
func (f *File) start(s *scribe, due time.Time) {
	go func() {
		defer close(f.written)
		f.run(s, due)
	}()
	go func() {
		defer close(f.told)
		f.teller.run(f.hush)
	}()
}

// Write takes p, which is one line or several whole ones, the last newline being
// optional, and returns without waiting for the disk. An error means that p is
// lost: too much is waiting already, or the File is closed. The line belongs to
// the day on which Write is called.
func (f *File) Write(p []byte) (int, error) {
	if err := f.queue.add(p); err != nil {
		if errors.Is(err, errFull) {
			f.teller.lose(lineCount(p))
		}
		return 0, err
	}
	return len(p), nil
}

// Reopen turns to the file that has the log's name now. It is for SIGHUP, after
// another program has renamed or removed the log, and returns at once.
func (f *File) Reopen() { token(f.reopen) }

// Lost returns how many lines have been lost since Open, for a metric.
func (f *File) Lost() uint64 { return f.teller.lost.Load() }

// Close writes what waits and closes the file. It waits two seconds for a disk that
// hangs and then says so. Lines that come afterwards are refused.
func (f *File) Close() error {
	if f.queue.shut() {
		return os.ErrClosed
	}
	close(f.stop)
	var err error
	select {
	case <-f.written:
	case <-time.After(closeAfter):
		err = fmt.Errorf("logfile: the disk has not answered for %v", closeAfter)
	}
	close(f.hush)
	<-f.told
	return err
}

// run is the scribe's goroutine.
func (f *File) run(s *scribe, due time.Time) {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for {
		select {
		case <-f.queue.wake:
			if soon := time.Now().Add(linger); soon.Before(due) {
				due = soon
				timer.Reset(linger)
			}
			continue
		case <-timer.C:
		case <-f.reopen:
			s.reopen(time.Now())
		case <-f.stop:
			s.close(time.Now())
			return
		}
		now := time.Now()
		due = s.step(now)
		timer.Reset(due.Sub(now))
	}
}

var _ io.WriteCloser = (*File)(nil)
