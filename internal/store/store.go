// Package store keeps sealed messages: in Redis, or in an embedded file. Both
// back ends implement [message.Store], hold to one contract suite, and speak
// only the errors of package message, so that no caller learns which of them
// it has.
package store

import (
	"context"
	"fmt"
	"time"

	"messaging_api/internal/message"
)

// opTimeout bounds one operation on a store, waiting for a connection or for
// the disk included. A client gets its refusal within it, and a store that
// hangs cannot pile requests up for longer.
const opTimeout = 1500 * time.Millisecond

// errTimeout says what ran out, in place of the bare "deadline exceeded".
var errTimeout = fmt.Errorf("no answer within %v", opTimeout)

// withTimeout returns ctx with this package's bound.
func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, opTimeout, errTimeout)
}

// unavailable reports a back end's error as message.ErrUnavailable. Only the
// cause's text survives: a foreign sentinel must not cross the package.
func unavailable(cause error) error {
	return fmt.Errorf("%w: %s", message.ErrUnavailable, cause.Error())
}
