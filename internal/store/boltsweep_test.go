package store

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"messaging_api/internal/message"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// quietBolt returns a store without its goroutines, so that a test decides what
// happens when.
func quietBolt(t *testing.T) (b *Bolt, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "messages.db")
	return &Bolt{db: newDatabase(t, path, 0), pageSize: os.Getpagesize(), log: slog.New(slog.DiscardHandler)}, path
}

// store puts a message that expires then.
func (b *Bolt) store(t *testing.T, key message.Key, expires time.Time, size int) {
	t.Helper()
	c := putting(key, size, expires)
	b.commit([]*change{c})
	if err := <-c.done; err != nil {
		t.Fatal(err)
	}
}

// putting is the change that puts a message.
func putting(key message.Key, size int, expires time.Time) *change {
	return &change{
		apply: func(tx *bolt.Tx) error { return insert(tx, key[:], make([]byte, size), expires) },
		size:  size,
		leave: diskReserve,
		done:  make(chan error, 1),
	}
}

// keys returns what the two buckets have, and the number of the last transaction.
func (b *Bolt) keys(t *testing.T) (messages map[message.Key]bool, index, transaction int) {
	t.Helper()
	messages = make(map[message.Key]bool)
	err := b.db.View(func(tx *bolt.Tx) error {
		transaction, index = tx.ID(), tx.Bucket(expiryBucket).Stats().KeyN
		return tx.Bucket(messagesBucket).ForEach(func(k, _ []byte) error {
			messages[message.Key(k)] = true
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages, index, transaction
}

func TestSweepDeletesTheOldestFirst(t *testing.T) {
	b, _ := quietBolt(t)
	const messages = 50
	for i := range messages { // the later the key, the sooner it expires
		b.store(t, message.Key{byte(messages - i)}, noon.Add(time.Duration(i)*time.Second), 100)
	}
	now := noon.Add(29 * time.Second) // at which 30 have expired
	for _, step := range []struct {
		batch, left, next, transactions int
		wait                            time.Duration
	}{
		{batch: 8, left: 42, next: 16, transactions: 1},
		{batch: 16, left: 26, next: 32, transactions: 1},
		{batch: 32, left: 20, next: sweepBatch, transactions: 1, wait: sweepEvery},
		{batch: sweepBatch, left: 20, next: sweepBatch, transactions: 0, wait: sweepEvery}, // an idle store leaves the disk alone
	} {
		_, _, before := b.keys(t)
		next, wait := b.sweep(now, step.batch)
		if next != step.next || wait != step.wait {
			t.Errorf("sweep of %d: next %d in %v, want %d in %v", step.batch, next, wait, step.next, step.wait)
		}
		left, index, after := b.keys(t)
		if len(left) != step.left || index != step.left || after != before+step.transactions {
			t.Errorf("sweep of %d: left %d messages and %d in the index, in %d transactions, want %d in %d",
				step.batch, len(left), index, after-before, step.left, step.transactions)
		}
		for i := range step.left {
			if !left[message.Key{byte(i + 1)}] {
				t.Errorf("sweep of %d: a message is gone that expires later than one that is left", step.batch)
			}
		}
	}
}

// A message that replaces an expired one does not go at the other's time.
func TestSweepSparesWhatReplacedAnExpiredMessage(t *testing.T) {
	b, _ := quietBolt(t)
	key := message.Key{1}
	b.store(t, key, time.Now().Add(-time.Hour), 10)
	b.store(t, key, time.Now().Add(time.Hour), 10)
	b.sweep(time.Now(), sweepBatch)
	if messages, index, _ := b.keys(t); !messages[key] || index != 1 {
		t.Errorf("left %d messages and %d in the index, want the new one", len(messages), index)
	}
	b.sweep(time.Now().Add(2*time.Hour), sweepBatch)
	if messages, index, _ := b.keys(t); len(messages) != 0 || index != 0 {
		t.Errorf("left %d messages and %d in the index, want none", len(messages), index)
	}
}

// What is swept makes room for what comes: the file of a store that is in use
// for years is as large as what it holds at a time.
func TestSweepMakesRoom(t *testing.T) {
	b, path := quietBolt(t)
	var settled int64
	for cycle := range 40 {
		now := noon.Add(time.Duration(cycle) * time.Minute)
		var batch []*change
		for i := range 256 {
			var key message.Key
			binary.BigEndian.PutUint64(key[:], uint64(cycle)<<32|uint64(i)*0x9E3779B9)
			batch = append(batch, putting(key, 100+i*20, now.Add(time.Second)))
		}
		b.commit(batch)
		b.sweep(now.Add(time.Second), sweepBatch)
		if messages, _, _ := b.keys(t); len(messages) != 0 {
			t.Fatalf("cycle %d: %d messages are left", cycle, len(messages))
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case cycle == 10:
			settled = info.Size()
		case cycle > 10 && info.Size() > settled:
			t.Fatalf("cycle %d: the file has grown from %d to %d bytes", cycle, settled, info.Size())
		}
	}
}

// A text that is no longer needed goes before its record does.
func TestSweepDeletesTexts(t *testing.T) {
	b, _ := quietBolt(t)
	key := message.Key{1}
	apply := func(f func(*bolt.Tx) error) {
		t.Helper()
		if err := b.db.Update(f); err != nil {
			t.Fatal(err)
		}
	}
	apply(func(tx *bolt.Tx) error { return insert(tx, key[:], []byte("record"), time.Now().Add(time.Hour)) })
	apply(func(tx *bolt.Tx) error { return insert(tx, textOf(key), []byte("text"), time.Now().Add(time.Hour)) })
	apply(func(tx *bolt.Tx) error { return limitText(tx, key, message.TextLife(time.Minute)) })
	for _, step := range []struct {
		after        time.Duration
		record, text bool
	}{{50 * time.Second, true, true}, {61 * time.Second, true, false}, {61 * time.Minute, false, false}} {
		b.sweep(time.Now().Add(step.after), sweepBatch)
		err := b.db.View(func(tx *bolt.Tx) error {
			record, text := tx.Bucket(messagesBucket).Get(key[:]) != nil, tx.Bucket(messagesBucket).Get(textOf(key)) != nil
			if record != step.record || text != step.text {
				t.Errorf("after %v: record %v and text %v, want %v and %v", step.after, record, text, step.record, step.text)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, index, _ := b.keys(t); index != 0 {
		t.Errorf("%d entries are left in the index", index)
	}
}

// The text of a message that was opened for the last time is deleted from the file
// at the end of its claim, by the sweeper and thus with its care about clocks. The
// record stays and says what became of the message.
func TestSweepEndsClaims(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.db")
	b, err := OpenBolt(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	box, now := message.NewBox(b), time.Now()
	c, err := box.Create(t.Context(), message.Draft{Text: []byte("hello"), TTL: time.Hour, Reads: 1}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: "A"}, now); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name  string
		sweep func()
		want  int
	}{
		{"before its end", func() { b.sweep(now.Add(message.ClaimLife-time.Second), sweepBatch) }, 2},
		{"while the clock is not believed", func() { b.trySweep(sweepBatch) }, 2},
		{"after its end", func() { b.sweep(time.Now().Add(message.ClaimLife+time.Second), sweepBatch) }, 1},
	} {
		step.sweep()
		got := 0
		if err := b.db.View(func(tx *bolt.Tx) error { got = tx.Bucket(messagesBucket).Stats().KeyN; return nil }); err != nil {
			t.Fatal(err)
		}
		if got != step.want {
			t.Errorf("%s: %d records and texts are left, want %d", step.name, got, step.want)
		}
	}
	var gone *message.GoneError
	if _, err := box.Read(t.Context(), c.ID.Reveal(), now); !errors.As(err, &gone) {
		t.Errorf("Read afterwards: %v, want a GoneError", err)
	}
}
