package store

import (
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

const (
	sweepEvery = 10 * time.Second // how long an expired message keeps its space
	sweepBatch = 1000             // deletions a transaction, which bounds what a writer waits for
)

// trySweep is sweep, unless the clock may be wrong.
func (b *Bolt) trySweep(batch int) (next int, wait time.Duration) {
	now := time.Now()
	jump, believed := b.clock.observe(now, now.Sub(b.clock.start))
	if jump != 0 {
		b.log.Warn("the clock was set, or the machine suspended: expired messages are not deleted for a while",
			"event", "clock", "by", jump.Round(time.Second).String(), "for", jumpGrace.String())
	}
	if !believed {
		return batch, sweepEvery
	}
	return b.sweep(now, batch)
}

// ClockJumps returns how often the clock was set by more than a minute since the
// start. After each, expired messages keep their space for an hour.
func (b *Bolt) ClockJumps() uint64 { return b.clock.jumps.Load() }

// sweep deletes messages that have expired by now, at most batch of them, and
// returns how many to delete next, and when.
//
// Where diskReserve is too little for a batch, a smaller one needs less, and its
// space makes room for the next, larger one.
func (b *Bolt) sweep(now time.Time, batch int) (next int, wait time.Duration) {
	n, err := b.deleteExpired(now, batch)
	switch {
	case errors.Is(err, message.ErrFull) && batch > 1:
		return batch / 2, 0
	case err != nil:
		b.log.Error("expired messages keep their space", "event", "sweep", "error", err)
		return batch, sweepEvery
	case n < batch:
		return sweepBatch, sweepEvery
	default:
		return min(2*batch, sweepBatch), 0
	}
}

// deleteExpired is one transaction of the sweeper. It returns how many messages
// it deleted.
func (b *Bolt) deleteExpired(now time.Time, most int) (n int, err error) {
	err = b.update(func(tx *bolt.Tx) error {
		messages, expiry := tx.Bucket(messagesBucket), tx.Bucket(expiryBucket)
		var over [][]byte // deleting moves a cursor, so the keys come first
		cursor := expiry.Cursor()
		for k, _ := cursor.First(); k != nil && len(over) < most && expired(k, now); k, _ = cursor.Next() {
			over = append(over, k)
		}
		for _, k := range over {
			if err := messages.Delete(k[stampSize:]); err != nil {
				return err
			}
			if err := expiry.Delete(k); err != nil {
				return err
			}
		}
		if n = len(over); n == 0 {
			return errUnchanged
		}
		return nil
	})
	return n, err
}
