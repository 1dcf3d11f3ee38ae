package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"messaging_api/internal/api"
)

// status tells what became of a message, without opening it.
func (o *options) status(ctx context.Context, operands []string, std stdio) error {
	l, err := target(ctx, operands, std)
	if err != nil {
		return err
	}
	c, err := o.newClient(l.Service, std)
	if err != nil {
		return err
	}
	a, err := c.call(ctx, http.MethodGet, path(l), nil, "")
	if err != nil {
		return err
	}
	var m api.Message
	err = a.decode(&m)
	if known := a.status == http.StatusGone || a.status == http.StatusNotFound; o.JSON && (err == nil || known) {
		line, encodeErr := encodeJSON(stateOf(a, m))
		if encodeErr == nil {
			_, encodeErr = std.out.Write(line)
		}
		return cmp.Or(err, encodeErr)
	}
	switch {
	case err != nil:
		return err
	case m.ReadsLeft == nil:
		_, err = fmt.Fprintf(std.out, "can be read any number of times, until %s\n", local(m.ExpiresAt))
	case len(m.Opened) == 0:
		_, err = fmt.Fprintf(std.out, "not opened yet; %s, until %s\n", reads(*m.ReadsLeft).describe(), local(m.ExpiresAt))
	default:
		_, err = fmt.Fprintf(std.out, "opened on %s; %s more, until %s\n", locals(m.Opened), reads(*m.ReadsLeft).describe(), local(m.ExpiresAt))
	}
	return err
}

// A messageState is what status --json prints.
type messageState struct {
	State       string      `json:"state"` // unread, opened, withdrawn, taken_down, gone or unlimited
	ReadsLeft   *int        `json:"reads_left,omitempty"`
	Opened      []time.Time `json:"opened,omitempty"`
	ExpiresAt   time.Time   `json:"expires_at,omitzero"`
	WithdrawnAt *time.Time  `json:"withdrawn_at,omitempty"`
	TakenDownAt *time.Time  `json:"taken_down_at,omitempty"`
}

// stateOf sums up an answer, which is m if the message is still there.
func stateOf(a answer, m api.Message) messageState {
	p := a.problem
	s := messageState{
		ReadsLeft: m.ReadsLeft, Opened: append(m.Opened, p.Opened...), ExpiresAt: m.ExpiresAt,
		WithdrawnAt: p.WithdrawnAt, TakenDownAt: p.TakenDownAt,
	}
	switch {
	case a.status == http.StatusNotFound:
		s.State = "gone"
	case p.TakenDownAt != nil:
		s.State = "taken_down"
	case p.WithdrawnAt != nil:
		s.State = "withdrawn"
	case len(s.Opened) > 0 || a.status == http.StatusGone:
		s.State = "opened"
	case m.ReadsLeft == nil:
		s.State = "unlimited"
	default:
		s.State = "unread"
	}
	return s
}

// withdraw takes a message back that was sent from here.
func (o *options) withdraw(ctx context.Context, operands []string, std stdio) error {
	l, err := target(ctx, operands, std)
	if err != nil {
		return err
	}
	token, err := o.state.owner(l.ID)
	if err != nil {
		return err
	}
	c, err := o.newClient(l.Service, std)
	if err != nil {
		return err
	}
	a, err := c.call(ctx, http.MethodDelete, path(l), nil, token)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusForbidden:
		return failf(exitOther, "the service does not take the owner token that is kept here")
	case a.status != http.StatusNoContent:
		return a.refused()
	}
	std.warn("taken back: the link no longer works")
	return nil
}

// key prints the age identity of a link, with which any age tool decrypts a
// message that was saved.
func (o *options) key(ctx context.Context, operands []string, std stdio) error {
	l, keys, err := o.unlock(ctx, operands, std)
	if err != nil {
		return err
	}
	if l.Key == nil {
		return failf(exitUsage, "the link has no key: its message is not encrypted")
	}
	_, err = fmt.Fprintln(std.out, keys.Identity)
	return err
}
