package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"messaging_api/internal/limit"
)

// digestEvery is how often a digest writes, at most.
const digestEvery = time.Second

// ownLines is how many requests of one client within a second have a line each
// before the rest is counted, and allOwnLines of all clients.
const (
	ownLines    = 20
	allOwnLines = 100
)

// maxGathered is how many occasions are told apart within a second. Those that
// come later are counted as if they were no client's in particular.
const maxGathered = 128

// A digest logs what clients can cause as often as they like: connections that
// are closed at once, handshakes for names that are not ours, requests that no
// budget was charged for, and what net/http has to say of its own. It writes one
// line a second for each occasion, with how often it came, so that no attack fills
// the disk.
type digest struct {
	log  *slog.Logger
	wake chan struct{} // holds a token if something was gathered

	mu       sync.Mutex // guards what follows
	gathered map[occasion]*gathering
	own      map[limit.Client]int // lines of this second's requests
	allOwn   int                  // their sum
}

// An occasion is what is counted together. But for the client there are few, known
// in advance.
type occasion struct {
	event, limit, reason string
	status               int          // of requests, else 0
	client               limit.Client // of requests; zero where they are no client's in particular
}

// A gathering is what has come of an occasion within a second.
type gathering struct {
	count uint64       // those without a line of their own
	first limit.Client // who the line of an occasion without a client names
}

// The events of a digest.
const (
	eventAdmission = "admission"
	eventName      = "name"
	eventRequests  = "requests"
	eventServer    = "server"
)

// eventTexts are what the lines of each event say.
var eventTexts = map[string]string{
	eventAdmission: "connections closed",
	eventName:      "TLS handshakes for a name that is not served",
	eventRequests:  "requests without a line of their own",
	eventServer:    "net/http reports trouble with connections",
}

func newDigest(log *slog.Logger) *digest {
	d := &digest{log: log, wake: make(chan struct{}, 1)}
	d.reset()
	return d
}

// turned notes a connection that a client lost to a limit.
func (d *digest) turned(admission string, c limit.Client) {
	d.note(occasion{event: eventAdmission, limit: admission}, c, 0)
}

// unknownName notes a handshake for a name that is not ours.
func (d *digest) unknownName(c limit.Client) { d.note(occasion{event: eventName}, c, 0) }

// serverTrouble notes what net/http has to say of its own, by its kind.
func (d *digest) serverTrouble(kind string) {
	d.note(occasion{event: eventServer, reason: kind}, limit.Client{}, 0)
}

// spare reports whether a request goes without a line of its own, and then notes it.
func (d *digest) spare(c limit.Client, status int, by string) bool {
	own := ownLines
	if status < http.StatusInternalServerError && !d.log.Enabled(context.Background(), slog.LevelInfo) {
		own = 0 // there are no such lines
	}
	return d.note(occasion{event: eventRequests, limit: by, status: status, client: c}, c, own)
}

// note counts one more of an occasion, unless it is among the first own ones of
// the client, and reports whether it did.
func (d *digest) note(o occasion, c limit.Client, own int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.own[c]; n < own && d.allOwn < allOwnLines {
		d.own[c] = n + 1
		d.allOwn++
		d.awake()
		return false
	}
	g := d.gathered[o]
	if g == nil && len(d.gathered) >= maxGathered {
		o.client = limit.Client{}
		g = d.gathered[o]
	}
	if g == nil {
		g = &gathering{first: c}
		d.gathered[o] = g
		d.awake()
	}
	g.count++
	return true
}

// awake sees to it that what is gathered in this second ends with it.
func (d *digest) awake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// reset begins a second.
func (d *digest) reset() {
	d.gathered, d.own, d.allOwn = make(map[occasion]*gathering), make(map[limit.Client]int), 0
}

// run writes until ctx ends, and then the rest.
func (d *digest) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-d.wake:
			pause(ctx, digestEvery)
		case <-ctx.Done():
		}
		d.write()
	}
}

// pause waits, or for the end of ctx.
func pause(ctx context.Context, long time.Duration) {
	select {
	case <-time.After(long):
	case <-ctx.Done():
	}
}

func (d *digest) write() {
	d.mu.Lock()
	gathered := d.gathered
	d.reset()
	d.mu.Unlock()
	for o, g := range gathered {
		var by, reason, status slog.Attr // slog leaves out empty ones
		if o.limit != "" {
			by = slog.String("limit", o.limit)
		}
		if o.reason != "" {
			reason = slog.String("reason", o.reason)
		}
		if o.status != 0 {
			status = slog.Int("status", o.status)
		}
		client := slog.Any("client", g.first.Addr())
		if o.event == eventServer || o.event == eventRequests && o.client == (limit.Client{}) {
			client = slog.Attr{} // who came first has nothing to do with the others
		}
		d.log.LogAttrs(context.Background(), slog.LevelWarn, eventTexts[o.event],
			slog.String("event", o.event), by, reason, status, slog.Uint64("count", g.count), client)
	}
}

// watchNames notes handshakes for which there is no certificate.
func (d *digest) watchNames(resolver *limit.Resolver, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := get(hello)
		if certificate == nil && err == nil {
			d.unknownName(resolver.Client(hello.Conn.RemoteAddr().String(), nil))
		}
		return certificate, err
	}
}
