package web

import (
	"net"
	"testing"
	"time"
)

// A recordedConn keeps the write deadline.
type recordedConn struct {
	net.Conn
	writeBy time.Time
}

func (c *recordedConn) SetWriteDeadline(t time.Time) error {
	c.writeBy = t
	return nil
}

// A write deadline that moves by little stays, and never lies later than it was set.
func TestWriteDeadline(t *testing.T) {
	inner := new(recordedConn)
	c := &conn{Conn: inner}
	now := time.Now()
	for _, step := range []struct{ set, want time.Duration }{
		{30 * time.Second, 30 * time.Second},
		{30*time.Second + 999*time.Millisecond, 30 * time.Second},
		{31 * time.Second, 31 * time.Second},
		{31*time.Second - time.Nanosecond, 31*time.Second - time.Nanosecond},
		{time.Hour, time.Hour},
		{time.Second, time.Second},
	} {
		if err := c.SetWriteDeadline(now.Add(step.set)); err != nil {
			t.Fatal(err)
		}
		if got := inner.writeBy.Sub(now); got != step.want {
			t.Errorf("set to %v: got %v, want %v", step.set, got, step.want)
		}
	}
	for _, zero := range []time.Time{{}, {}} {
		if err := c.SetWriteDeadline(zero); err != nil || !inner.writeBy.IsZero() {
			t.Errorf("taken away: got %v, %v", inner.writeBy, err)
		}
	}
	if _ = c.SetWriteDeadline(now); !inner.writeBy.Equal(now) {
		t.Errorf("set again: got %v, want %v", inner.writeBy, now)
	}
}
