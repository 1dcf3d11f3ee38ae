package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"messaging_api/internal/api"
)

const (
	// clients write and read at once.
	clients = 24
	// rest is the shortest time between two rounds of one client's work.
	rest = 40 * time.Millisecond
	// mostMessages bounds one round's messages.
	mostMessages = 40_000
	// longest is the time that an answer may take. The service answers in a few
	// seconds at most; the machine may be slow.
	longest = 20 * time.Second
)

// A caller asks the service, and keeps what happened in a history.
type caller struct {
	base   string
	client *http.Client
	began  time.Time
	past   *history
}

func newCaller(base string, began time.Time) *caller {
	return &caller{base: base, began: began, past: &history{}, client: &http.Client{
		Timeout: longest,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}, //nolint:gosec // the service has made its certificate
			MaxIdleConnsPerHost: 2 * clients,
		},
	}}
}

// send sends one request. The answer is decoded if it is the 200 of a JSON body.
func (c *caller) send(ctx context.Context, method, path, token string, body, answer any) (status int) {
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body) // strings and numbers always can be
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return 0
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	got, err := c.client.Do(request)
	if err != nil {
		return 0
	}
	defer got.Body.Close() //nolint:errcheck // it was read
	all, err := io.ReadAll(got.Body)
	if err != nil {
		return 0
	}
	if got.StatusCode == http.StatusOK && json.Unmarshal(all, answer) != nil {
		return 0
	}
	return got.StatusCode
}

func (c *caller) now() time.Duration { return time.Since(c.began) }

// create stores a message that can be opened reads times, or a plain one if reads is
// 0. It reports whether the service has acknowledged it.
func (c *caller) create(ctx context.Context, reads int) (note, bool) {
	text := rand.Text() + strings.Repeat(" text", mathrand.IntN(100))
	begin := c.now()
	var got api.Created
	status := c.send(ctx, http.MethodPost, "/", "", api.Creation{Message: text, TTL: 3600, Reads: reads}, &got)
	n := note{id: got.MessageID, text: text, reads: reads, owner: got.OwnerToken, acked: c.now()}
	c.past.add(call{op: opCreate, id: n.id, begin: begin, end: n.acked, status: status})
	if status != http.StatusOK {
		return note{}, false
	}
	c.past.acknowledge(n)
	return n, true
}

// get reads a message, or the state of a limited one.
func (c *caller) get(ctx context.Context, n note, audit bool) int {
	if n.reads > 0 {
		return c.open(ctx, n, audit)
	}
	begin := c.now()
	var got api.Message
	status := c.send(ctx, http.MethodGet, "/msg/"+n.id, "", nil, &got)
	c.past.add(call{
		op: opRead, id: n.id, begin: begin, end: c.now(), status: status, audit: audit,
		wrongText: status == http.StatusOK && got.Message != n.text,
	})
	return status
}

func (c *caller) open(ctx context.Context, n note, audit bool) int {
	begin := c.now()
	var got api.Message
	status := c.send(ctx, http.MethodPost, "/msg/"+n.id, "", nil, &got)
	one := call{op: opOpen, id: n.id, begin: begin, end: c.now(), status: status, audit: audit}
	if status == http.StatusOK {
		one.wrongText = got.Message != n.text
		if got.ReadsLeft != nil {
			one.readsLeft = *got.ReadsLeft
		}
	}
	c.past.add(one)
	return status
}

func (c *caller) withdraw(ctx context.Context, n note) {
	begin := c.now()
	status := c.send(ctx, http.MethodDelete, "/msg/"+n.id, n.owner, nil, nil)
	c.past.add(call{op: opWithdraw, id: n.id, begin: begin, end: c.now(), status: status})
}

// A load is 24 clients at work.
type load struct {
	stop func()
	done sync.WaitGroup
}

// startLoad starts the clients. Each finishes the calls that it has begun when the load
// is stopped.
func startLoad(ctx context.Context, c *caller) *load {
	working, stop := context.WithCancel(ctx)
	l := &load{stop: stop}
	for range clients {
		l.done.Go(func() {
			tick := time.NewTicker(rest)
			defer tick.Stop()
			for turn := 0; working.Err() == nil && c.past.size() < mostMessages; turn++ {
				c.work(ctx, turn)
				select {
				case <-tick.C:
				case <-working.Done():
				}
			}
		})
	}
	return l
}

// end stops the clients and waits for them.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// work creates a message and reads it at once, as a recipient with a new link does. Some
// messages are limited, and several clients open them; some are taken back. Then it reads
// any other message.
func (c *caller) work(ctx context.Context, turn int) {
	switch turn % 8 {
	case 3:
		if n, ok := c.create(ctx, 2); ok {
			var race sync.WaitGroup
			for range 3 {
				race.Go(func() { c.open(ctx, n, false) })
			}
			race.Wait()
		}
	case 5:
		// It is opened once now, and by the audit.
		if n, ok := c.create(ctx, 3); ok {
			c.open(ctx, n, false)
		}
	default:
		n, ok := c.create(ctx, 0)
		if !ok {
			break
		}
		c.get(ctx, n, false)
		if turn%8 == 7 {
			c.withdraw(ctx, n)
		}
	}
	if n, ok := c.past.any(mathrand.Uint64()); ok && n.reads == 0 {
		c.get(ctx, n, false)
	}
}

// audit asks for every acknowledged message, and opens each limited one until that is
// refused. What the service cannot answer is asked again a few times.
func (c *caller) audit(ctx context.Context, notes []note) {
	next := make(chan note)
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			for n := range next {
				c.auditOne(ctx, n)
			}
		})
	}
	for _, n := range notes {
		next <- n
	}
	close(next)
	done.Wait()
}

func (c *caller) auditOne(ctx context.Context, n note) {
	// One opening more than are left is refused.
	answers := 1
	if n.reads > 0 {
		answers = n.reads + 1
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 50 {
		switch c.get(ctx, n, true) {
		case http.StatusOK:
			answers--
		case http.StatusServiceUnavailable, 0:
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		default:
			answers = 0
		}
		if answers <= 0 {
			return
		}
	}
}

// refuses reports whether a creation is answered so.
func (c *caller) refuses(status int) func() bool {
	return func() bool {
		before := c.past.created(status)
		c.create(context.Background(), 0)
		return c.past.created(status) > before
	}
}

// createLarge stores a large message and returns the status.
func (c *caller) createLarge(l *lab) int {
	n := note{text: strings.Repeat("x", 150_000)}
	begin := c.now()
	var got api.Created
	status := c.send(l.ctx, http.MethodPost, "/", "", api.Creation{Message: n.text, TTL: 3600}, &got)
	n.id, n.acked = got.MessageID, c.now()
	c.past.add(call{op: opCreate, id: n.id, begin: begin, end: n.acked, status: status})
	if status == http.StatusOK {
		c.past.acknowledge(n)
	}
	return status
}

// limited returns an acknowledged message that was made to be opened three times.
func (c *caller) limited() (note, bool) {
	var all []note
	for _, n := range c.past.acknowledged() {
		if n.reads == 3 {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return note{}, false
	}
	return all[mathrand.IntN(len(all))], true
}

// opens reports whether a limited message can be opened.
func (c *caller) opens() bool {
	n, ok := c.limited()
	return ok && c.open(context.Background(), n, false) == http.StatusOK
}

// refusesOpening reports whether an opening is a 503.
func (c *caller) refusesOpening() bool {
	n, ok := c.limited()
	return ok && c.open(context.Background(), n, false) == http.StatusServiceUnavailable
}

// reads reads a hundred messages, each of which has to be there.
func (c *caller) reads() error {
	read := 0
	for _, n := range c.past.acknowledged() {
		if n.reads > 0 {
			continue
		}
		status := c.get(context.Background(), n, false)
		if status != http.StatusOK && status != http.StatusGone { // some are taken back
			return fmt.Errorf("a read got %d", status)
		}
		if read++; read == 100 {
			return nil
		}
	}
	return fmt.Errorf("there are only %d messages", read)
}

// serves reports whether the service is ready, and creates and reads a message.
func (c *caller) serves(ctx context.Context) bool {
	n, ok := c.create(ctx, 0)
	return ok && c.get(ctx, n, false) == http.StatusOK
}

// summary tells how many creations were answered, and how.
func (c *caller) summary() string {
	return fmt.Sprintf("%d created, %d refused", c.past.created(http.StatusOK), c.past.created(http.StatusServiceUnavailable))
}
