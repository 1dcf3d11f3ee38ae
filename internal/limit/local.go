package limit

import (
	"context"
	"time"
)

// A Local is a Table with the methods of Shared, so that whoever asks does not
// care which of the two answers. It never waits, and has no use for a context.
type Local struct{ table *Table }

// NewLocal returns a Local that decides by table.
func NewLocal(table *Table) Local { return Local{table} }

// Take is Table.Take.
func (l Local) Take(_ context.Context, c Client, b Budget, n int64, now time.Time) Decision {
	return l.table.Take(c, b, n, now)
}

// Peek is Table.Peek.
func (l Local) Peek(_ context.Context, c Client, b Budget, now time.Time) Decision {
	return l.table.Peek(c, b, now)
}

// Charge is Table.Charge.
func (l Local) Charge(_ context.Context, c Client, b Budget, n int64, now time.Time) Decision {
	return l.table.Charge(c, b, n, now)
}

// Refund is Table.Refund.
func (l Local) Refund(_ context.Context, c Client, d Decision, n int64, now time.Time) {
	l.table.Refund(c, d, n, now)
}
