package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"messaging_api/internal/limit"
)

// digestEvery is how often a digest writes, at most.
const digestEvery = time.Second

// A digest logs what clients can cause without ever sending a request, as often
// as they like: connections that are closed at once and handshakes for names that
// are not ours. It writes one line a second for each kind, with their number and
// the first client of them, so that no attack fills the disk.
type digest struct {
	log  *slog.Logger
	wake chan struct{} // holds a token if there is something to write

	mu       sync.Mutex // guards what follows
	gathered map[occasion]*gathering
}

// An occasion is a kind of event. There are few, known in advance.
type occasion struct{ event, msg, limit string }

type gathering struct {
	count uint64
	first limit.Client
}

func newDigest(log *slog.Logger) *digest {
	return &digest{log: log, wake: make(chan struct{}, 1), gathered: make(map[occasion]*gathering)}
}

// turned notes a connection that a client lost to a limit.
func (d *digest) turned(admission string, c limit.Client) {
	d.note(occasion{"admission", "connections closed", admission}, c)
}

// unknownName notes a handshake for a name that is not ours.
func (d *digest) unknownName(c limit.Client) {
	d.note(occasion{"name", "TLS handshakes for a name that is not served", ""}, c)
}

func (d *digest) note(o occasion, c limit.Client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.gathered[o]; g != nil {
		g.count++
		return
	}
	d.gathered[o] = &gathering{1, c}
	select {
	case d.wake <- struct{}{}:
	default:
	}
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
	d.gathered = make(map[occasion]*gathering)
	d.mu.Unlock()
	for o, g := range gathered {
		by := slog.Attr{} // slog leaves out empty ones
		if o.limit != "" {
			by = slog.String("limit", o.limit)
		}
		d.log.LogAttrs(context.Background(), slog.LevelWarn, o.msg,
			slog.String("event", o.event), by, slog.Uint64("count", g.count), slog.Any("client", g.first.Addr()))
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
