package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"messaging_api/internal/message"
)

// create stores a message and answers with its link.
func (s *routes) create(x *Exchange, r *http.Request) error {
	stored, err := s.store(x, r)
	x.load.release(x, requestCost) // the body is not needed any more
	if err != nil {
		return err
	}
	id := stored.ID.Reveal()
	link := x.base() + messagePath + id
	x.w.Header()["Location"] = []string{link}
	if x.as == asText {
		x.send(r, http.StatusOK, textType, []byte(link+"\n"))
	} else {
		x.send(r, http.StatusOK, jsonType, created(id, link, stored.Owner.Reveal(), stored.Expires))
	}
	return nil
}

// store takes a message through the client's budgets to the store.
func (s *routes) store(x *Exchange, r *http.Request) (stored message.Created, err error) {
	// The client and its budgets are judged before the body is read, as far as its
	// length is known: a refusal has to cost less than the request.
	announced := int(min(max(r.ContentLength, 0), s.limits.MaxBytes))
	if err := s.authorize(x, r, announced+MessageOverhead); err != nil {
		return stored, err
	}
	if err := x.accepted(r); err != nil {
		return stored, err
	}
	draft, err := s.limits.readCreation(x, r)
	if err != nil {
		return stored, err
	}
	size := len(draft.Text) + MessageOverhead
	if denial := s.limiter.Fits(x.client, x.token, size, x.w.Header()); denial != nil {
		return stored, x.tooMany(denial)
	}
	stored, err = ask(s, x, r, func(ctx context.Context) (message.Created, error) {
		return s.messages.Create(ctx, draft, time.Now())
	})
	if err != nil {
		return stored, err
	}
	s.limiter.Stored(x.client, size, x.w.Header())
	if s.creators.Tokens != nil {
		s.creators.Tokens.Created(x.token)
	}
	return stored, nil
}

// read answers with a message, or with the state of a limited one.
func (s *routes) read(x *Exchange, r *http.Request, id string) error {
	if err := s.charge(x); err != nil {
		return err
	}
	if err := x.accepted(r); err != nil {
		return err
	}
	m, err := ask(s, x, r, func(ctx context.Context) (message.Message, error) {
		return s.messages.Read(ctx, id, time.Now())
	})
	if err != nil {
		return err
	}
	if m.Limited {
		return s.sendState(x, r, m)
	}
	return s.sendMessage(x, r, m)
}

// sendMessage answers with a text.
func (s *routes) sendMessage(x *Exchange, r *http.Request, m message.Message) error {
	end := appendEnd(make([]byte, 0, 64), m)
	size := len(m.Text)
	if x.as == asJSON {
		size = messageSize(m.Text, end)
	}
	if size > smallAnswer && !x.load.reserve(x, size) {
		return x.tooBusy()
	}
	if size > largeAnswer {
		x.load.setWait(x, forReader)
	}
	s.limiter.Sent(x.client, size, x.w.Header())
	if x.as == asText {
		x.send(r, http.StatusOK, textType, m.Text)
		return nil
	}
	x.send(r, http.StatusOK, jsonType, encodeMessage(m.Text, end, size))
	return nil
}

// charge takes a read from the client's budget.
func (s *routes) charge(x *Exchange) error {
	if denial := s.limiter.Read(x.client, x.w.Header()); denial != nil {
		return x.tooMany(denial)
	}
	x.charged = true
	return nil
}

// misses are the errors of a client that guesses.
var misses = []error{message.ErrNotFound, message.ErrTampered, message.ErrProof, message.ErrToken}

// ask asks the store, in a slot. A miss is charged after the answer is known. When
// that budget is spent, requests are refused before the store is asked, which stops
// guessing.
//
// The store has its own deadline and ignores the client's cancellation: a client
// that hangs up has to pay for a message that is stored, and one that closes only
// its own side still gets its answer.
func ask[T any](s *routes, x *Exchange, r *http.Request, f func(context.Context) (T, error)) (answer T, err error) {
	if err = x.load.acquire(x, r); err == nil {
		answer, err = func() (T, error) {
			defer x.load.leave()
			return f(context.Background())
		}()
	}
	if slices.ContainsFunc(misses, func(miss error) bool { return errors.Is(err, miss) }) {
		s.limiter.Missed(x.client, x.w.Header())
	}
	x.charged = err == nil || refusalOf(err).status < http.StatusInternalServerError // an outage must not flood the log
	return answer, err
}
