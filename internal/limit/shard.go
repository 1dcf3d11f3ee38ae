package limit

import (
	"math/bits"
	"sync"
)

// An entry holds the buckets of one client. It is as large as a line of the
// processor's cache: a decision waits for memory once, at most.
type entry struct {
	client Client
	last   int64          // when used was computed, in microseconds
	used   [budgets]int64 // in units of each budget's scale
}

// advance brings the buckets to the time at.
func (e *entry) advance(scales *[budgets]scale, at int64) {
	elapsed := at - e.last
	if elapsed <= 0 {
		return
	}
	for b := range e.used {
		e.used[b] = scales[b].after(e.used[b], elapsed)
	}
	e.last = at
}

// A shard is the part of a table under one lock: a fixed array of entries,
// found through chains that begin in heads. A Go map instead would take as much
// again for itself, and how much it grows under constant coming and going is the
// runtime's decision, where here it must be ours.
type shard struct {
	mu        sync.Mutex // guards all below
	entries   []entry    // the first tracked ones are in use
	next      []uint32   // by entry: 1 + the entry that follows in its chain, or 0
	heads     []uint32   // by hash: 1 + the first entry of the chain, or 0
	tracked   int
	hand      int   // the entry to be looked at next for eviction
	overflow  entry // of those who have no entry; its client means nothing
	overflows uint64
}

func (sh *shard) init(clients int) {
	sh.entries = make([]entry, clients)
	sh.next = make([]uint32, clients)
	sh.heads = make([]uint32, 1<<bits.Len(uint(clients-1)))
}

// head returns where the chain for hash begins. The low bits choose it, since the
// high ones have chosen the shard.
func (sh *shard) head(hash uint64) *uint32 { return &sh.heads[hash&uint64(len(sh.heads)-1)] } //nolint:gosec // a length

// find returns the client's entry as of at, or nil.
func (sh *shard) find(t *Table, c Client, hash uint64, at int64) *entry {
	for i := *sh.head(hash); i != 0; i = sh.next[i-1] {
		if e := &sh.entries[i-1]; e.client == c {
			e.advance(&t.scales, at)
			return e
		}
	}
	return nil
}

// current returns the client's entry, or the overflow entry where it has none,
// as of at: what a charge would be made to.
func (sh *shard) current(t *Table, c Client, hash uint64, at int64) *entry {
	if e := sh.find(t, c, hash, at); e != nil {
		return e
	}
	sh.overflow.advance(&t.scales, at)
	return &sh.overflow
}

// enter is current, for a charge: it gives the client an entry if there is room.
func (sh *shard) enter(t *Table, c Client, hash uint64, at int64) *entry {
	if e := sh.track(t, c, hash, at); e != nil {
		return e
	}
	sh.overflows++
	sh.overflow.advance(&t.scales, at)
	return &sh.overflow
}

// track returns the client's entry, a new one if need be, or nil where there is
// no room. A new one begins where the overflow entry stands.
func (sh *shard) track(t *Table, c Client, hash uint64, at int64) *entry {
	if e := sh.find(t, c, hash, at); e != nil {
		return e
	}
	i, ok := sh.place(t, at)
	if !ok {
		return nil
	}
	sh.overflow.advance(&t.scales, at)
	e := &sh.entries[i]
	*e = entry{client: c, last: sh.overflow.last, used: sh.overflow.used}
	head := sh.head(hash)
	sh.next[i], *head = *head, uint32(i+1) //nolint:gosec // a table has far fewer entries
	return e
}

// maxLook is how many entries are looked at to evict one. They lie side by
// side, so that looking at them costs about as much as finding one.
const maxLook = 16

// place returns a free entry, if need be by evicting one whose buckets are all
// full.
func (sh *shard) place(t *Table, at int64) (int, bool) {
	if sh.tracked < len(sh.entries) {
		sh.tracked++
		return sh.tracked - 1, true
	}
	for range min(maxLook, len(sh.entries)) {
		i := sh.hand
		if sh.hand++; sh.hand == len(sh.entries) {
			sh.hand = 0
		}
		e := &sh.entries[i]
		e.advance(&t.scales, at)
		if e.used == [budgets]int64{} {
			sh.unlink(t.hash(e.client), uint32(i+1)) //nolint:gosec // a table has far fewer entries
			return i, true
		}
	}
	return 0, false
}

// unlink takes an entry out of its chain.
func (sh *shard) unlink(hash uint64, i uint32) {
	link := sh.head(hash)
	for *link != i {
		link = &sh.next[*link-1]
	}
	*link = sh.next[i-1]
}
