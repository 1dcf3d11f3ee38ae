package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"messaging_api/internal/api"
)

// A test is one run against one service.
type test struct {
	options
	clients  *clients
	policies map[string]policy
	maxBytes int64
	overhead int64    // bytes that a stored message counts besides its text
	link     string   // of a short message
	large    string   // of a message whose answer is as large as one can be
	answer   int64    // bytes of that answer
	flows    []*flow  // that spend their budgets
	skipped  []string // budgets that take too long to spend
}

// How many clients spend each budget at once. Many create, because a creation
// costs most. Each client reads a lot already.
const (
	creating = 8
	storing  = 3
	reading  = 4
	loading  = 2
	missing  = 4
)

// longestWait is how long one token's worth of requests may take to come back. A
// budget that is slower is not tested: obeying its Retry-After would take hours.
const longestWait = time.Minute

// probe learns what the service says of itself, as a client of its own.
func (t *test) probe() error {
	c := t.clients.one()
	about, err := c.once(t.get("/"))
	if err != nil {
		return err
	}
	var description api.Description
	if err := json.Unmarshal(about.Body, &description); err != nil || description.Limits.MaxBytes < 1 {
		return errors.New("the target does not describe itself as messaging_api does")
	}
	t.maxBytes, t.overhead = description.Limits.MaxBytes, description.Limits.MessageOverhead
	t.policies = make(map[string]policy)
	if t.link, _, err = t.create(c, t.post("x", 1)); err != nil {
		return err
	}
	// In JSON a control character takes six bytes.
	if t.large, t.answer, err = t.create(c, t.post("\x01", t.maxBytes)); err != nil {
		return err
	}
	for _, name := range []string{"create", "bytes", "read", "read-bytes", "miss"} {
		if _, ok := t.policies[name]; !ok {
			return fmt.Errorf("no answer has a RateLimit-Policy for %q: there is no limit to hold the service to", name)
		}
	}
	return nil
}

// create makes a message and reads it. It returns its link and the size of the
// answer, and learns the policies that the two answers state.
func (t *test) create(c *client, target vegeta.Target) (link string, size int64, err error) {
	created, err := c.once(target)
	if err != nil {
		return "", 0, err
	}
	var message api.Created
	if err := json.Unmarshal(created.Body, &message); err != nil || message.MessageID == "" {
		return "", 0, fmt.Errorf("creating a message: status %d: %s", created.Code, created.Body)
	}
	link = "/msg/" + message.MessageID
	read, err := c.once(t.get(link))
	if err != nil {
		return "", 0, err
	}
	for _, answer := range []*vegeta.Result{created, read} {
		stated, err := policies(answer.Headers)
		if err != nil {
			return "", 0, err
		}
		maps.Copy(t.policies, stated)
	}
	return link, int64(len(read.Body)), nil
}

func (t *test) get(path string) vegeta.Target {
	return vegeta.Target{
		Method: http.MethodGet, URL: t.target.JoinPath(path).String(),
		Header: http.Header{"Accept": {"application/json"}},
	}
}

// post creates a message of one character repeated, which expires soon after the
// test.
func (t *test) post(character string, size int64) vegeta.Target {
	return vegeta.Target{
		Method: http.MethodPost, URL: t.target.String() + "?ttl=600", Body: bytes.Repeat([]byte(character), int(size)),
		Header: http.Header{"Content-Type": {"text/plain"}, "Accept": {"application/json"}},
	}
}

// plan sets up the clients that spend their budgets, each offering twice what it
// may spend.
func (t *test) plan() error {
	create, bytes := t.policies["create"], t.policies["bytes"]
	// So large that the bytes are spent before the creations.
	cost := int64(1.25 * max(float64(bytes.quota)/float64(create.quota), bytes.rate()/create.rate()))
	cost = min(cost, t.maxBytes+t.overhead)
	unknown := "/msg/00000000-0000-4000-8000-000000000000"
	for _, kind := range []struct {
		budget  string
		clients int
		cost    int64
		target  vegeta.Target
		good    uint16
	}{
		{"create", creating, 1, t.post("x", 16), http.StatusOK},
		{"bytes", storing, cost, t.post("x", cost-t.overhead), http.StatusOK},
		{"read", reading, 1, t.get(t.link), http.StatusOK},
		{"read-bytes", loading, t.answer, t.get(t.large), http.StatusOK},
		{"miss", missing, 1, t.get(unknown), http.StatusNotFound},
	} {
		p := t.policies[kind.budget]
		if wait := float64(kind.cost) / p.rate(); wait > longestWait.Seconds() {
			t.skipped = append(t.skipped, fmt.Sprintf("%s: NOT TESTED: one request's worth takes %.0f s to come back", kind.budget, wait))
			continue
		}
		offer := int(math.Ceil(2 * p.within(t.time) / float64(kind.cost)))
		for range kind.clients {
			t.flows = append(t.flows, &flow{
				client: t.clients.one(), budget: kind.budget, policy: p, cost: float64(kind.cost),
				target: kind.target, good: kind.good,
				rate: vegeta.Rate{Freq: offer, Per: t.time},
			})
		}
	}
	total := t.neighbourly()
	for _, f := range t.flows {
		total += f.rate.Freq
	}
	if total > t.most {
		return fmt.Errorf("these limits take %d requests to reach, more than --most %d; a shorter --time takes fewer", total, t.most)
	}
	return nil
}

// together runs a part of the test for every flow at once.
func together(flows []*flow, part func(*flow)) {
	var wg sync.WaitGroup
	for _, f := range flows {
		wg.Go(func() { part(f) })
	}
	wg.Wait()
}

// exact checks that each client gets what its policy says, no less and no more.
func (t *test) exact(r *report) {
	together(t.flows, func(f *flow) { f.run(t.time) })
	r.title("Accepted: burst + rate × time, for each client")
	r.row("budget", "client", "offered", "accepted", "allowed", "off by", "refused", "failed")
	for _, f := range t.flows {
		got, want := f.count(accepted), f.allowed()
		r.row(f.budget, f.addr, len(f.samples), got, want,
			fmt.Sprintf("%+.1f %%", 100*(float64(got)/want-1)), f.count(refused), f.count(failed))
		if !f.exact() {
			r.violation("%s, client %v: %d accepted, %.0f allowed", f.budget, f.addr, got, want)
		}
		if f.count(refused) == 0 {
			r.violation("%s, client %v: nothing was refused", f.budget, f.addr)
		}
		r.problems(f)
	}
	for _, budget := range t.skipped {
		r.line("%s", budget)
	}
}

// obey checks for each client that waiting for as long as Retry-After says is
// enough.
func (t *test) obey(ctx context.Context, r *report) {
	type wait struct {
		told time.Duration
		err  error
	}
	waits := make([][obeyed]wait, len(t.flows))
	var wg sync.WaitGroup
	for i, f := range t.flows {
		wg.Go(func() {
			for round := range obeyed {
				w := &waits[i][round]
				w.told, w.err = f.obey(ctx)
			}
		})
	}
	wg.Wait()
	r.title("Retry-After, obeyed by each client")
	r.row("budget", "client", "told to wait", "then", "told to wait", "then")
	for i, f := range t.flows {
		cells := []any{f.budget, f.addr}
		for _, w := range waits[i] {
			then := "accepted"
			if w.err != nil {
				then = "not accepted"
				r.violation("%s, client %v, after Retry-After %v: %v", f.budget, f.addr, w.told, w.err)
			}
			cells = append(cells, w.told, then)
		}
		r.row(cells...)
	}
}

// obeyed is how often each client waits: the first time may fall anywhere
// between two tokens, the next begins right after one.
const obeyed = 2

// obey asks until it is refused, waits as it is told, and asks again.
func (f *flow) obey(ctx context.Context) (told time.Duration, err error) {
	told, err = f.refusal()
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(told):
	case <-ctx.Done():
		return told, ctx.Err()
	}
	r, err := f.once(f.target)
	if err != nil {
		return told, err
	}
	got, err := f.form(r)
	if err == nil && got == refused {
		err = fmt.Errorf("refused again, with Retry-After %s", r.Headers.Get("Retry-After"))
	}
	return told, err
}

// refusal asks until it is refused, and returns how long it is told to wait.
func (f *flow) refusal() (time.Duration, error) {
	const patience = 1000 // requests: a bucket just emptied is not far from empty
	for range patience {
		r, err := f.once(f.target)
		if err != nil {
			return 0, err
		}
		switch got, err := f.form(r); {
		case err != nil:
			return 0, err
		case got == refused:
			return retryAfter(r)
		}
	}
	return 0, fmt.Errorf("not refused in %d requests after the bucket was spent", patience)
}
