package logfile

import "time"

const (
	// retryAfter is how long nothing is tried after an error.
	retryAfter = time.Second
	// lookAfter is how often an idle scribe looks whether the day is over: a
	// timer set for midnight fires late where the clock was set forward or the
	// machine slept.
	lookAfter = time.Minute
)

// A scribe takes lines out of the queue and to the disk. It has one owner.
type scribe struct {
	disk   disk
	take   func(*batch) // swaps the queue for an empty batch
	teller *teller

	batch     batch     // taken and not yet written
	retry     time.Time // no writing before then
	pruned    day       // the last day on which old logs were deleted
	nextPrune time.Time // no deleting before then
}

// step does what there is to do at now, and returns when to call it again if
// nothing happens before.
func (s *scribe) step(now time.Time) (next time.Time) {
	today := dayOf(now, s.disk.loc)
	if !now.Before(s.retry) {
		s.settle(now, s.flush(today))
	}
	if s.pruned != today && !now.Before(s.nextPrune) {
		err := s.disk.prune(today)
		if err == nil {
			s.pruned = today
		}
		s.nextPrune = now.Add(lookAfter)
		s.teller.setDeleting(err)
	}
	next = now.Add(lookAfter)
	if s.retry.After(now) {
		next = s.retry
	}
	// A moment late: the time of modification of the new file comes from a clock
	// of the kernel's that lags by some milliseconds, and must not be yesterday.
	if change := nextDay(now, s.disk.loc).Add(linger); change.After(now) && change.Before(next) {
		next = change
	}
	return next
}

// flush writes all that waits, or where nothing does sees to it that the file is
// there and of today.
func (s *scribe) flush(today day) error {
	if err := s.write(); err != nil { // what an attempt that failed has left
		return err
	}
	s.take(&s.batch)
	if s.batch.empty() {
		// Only then: lines that came since may be of another day than the moment
		// at which this step began.
		return s.disk.ready(today)
	}
	return s.write()
}

// write takes the batch to the disk.
func (s *scribe) write() error {
	for !s.batch.empty() {
		d, lines := s.batch.first()
		n, err := s.disk.write(d, lines)
		s.batch.drop(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// settle draws the consequences of an attempt to write.
func (s *scribe) settle(now time.Time, err error) {
	s.retry = now
	if err != nil {
		s.retry = now.Add(retryAfter)
	}
	s.teller.setWriting(err)
}

// reopen writes what waits and then turns to the file that has the name now.
func (s *scribe) reopen(now time.Time) {
	today := dayOf(now, s.disk.loc)
	err := s.flush(today)
	if err == nil {
		err = s.disk.reopen(today)
	}
	s.settle(now, err)
}

// close writes what waits, in one last attempt. What cannot be written is lost.
func (s *scribe) close(now time.Time) {
	s.settle(now, s.flush(dayOf(now, s.disk.loc)))
	s.teller.lose(s.batch.count())
	s.take(&s.batch)
	s.teller.lose(s.batch.count())
	s.disk.close()
}
