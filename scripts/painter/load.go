package main

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A crowd is some clients, each with an address of its own, that all do the same
// thing over and over, from one share of the load's time to another.
type crowd struct {
	clients  int
	from, to float64
	every    time.Duration
	do       func(context.Context, *visitor)
	old      bool // speaks HTTP/1.1 over TLS 1.2, on a new connection each time
}

// crowds are a quiet service's readers and writers, and in the middle those whom its
// limits are for.
var crowds = []crowd{
	{10, 0, 1, 1200 * time.Millisecond, create(200, 6000), false},
	{15, 0, 1, 300 * time.Millisecond, read, false},
	{3, 0, 1, 900 * time.Millisecond, describe, true},
	{1, 0, 1, 2 * time.Second, speakOldTLS, false},
	{1, 0, 1, 3 * time.Second, speakPlainHTTP, false},
	{1, 0, 1, 1500 * time.Millisecond, guess, false},

	{2, 0.25, 0.6, 120 * time.Millisecond, create(50, 60), false},
	{1, 0.25, 0.6, 250 * time.Millisecond, create(200<<10, 201<<10), false},
	{1, 0.3, 0.65, 7 * time.Millisecond, read, false},
	{1, 0.35, 0.65, 120 * time.Millisecond, guess, false},
	{1, 0.4, 0.6, 25 * time.Millisecond, connect, false},
	{1, 0.3, 0.65, 60 * time.Millisecond, hold, false},
}

// loadAll has all crowds visit each service, for as long.
func loadAll(ctx context.Context, bases []*url.URL, length time.Duration) error {
	var all sync.WaitGroup
	for i, base := range bases {
		recent := new(links)
		number := 0
		for _, c := range crowds {
			for range c.clients {
				number++
				v := newVisitor(base, net.IPv4(127, byte(i+1), 0, byte(number)), recent, c.old)
				all.Go(func() { v.visit(ctx, c, length) })
			}
		}
	}
	all.Wait()
	return ctx.Err()
}

// links are of messages written lately, for all readers of a service.
type links struct {
	mu   sync.Mutex
	last []string // guarded by mu
}

func (l *links) add(link string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, link)
	if len(l.last) > 100 {
		l.last = l.last[1:]
	}
}

func (l *links) any() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == 0 {
		return ""
	}
	return l.last[rand.IntN(len(l.last))] //nolint:gosec // which one does not matter
}

// patience is how long a visitor waits for an answer.
const patience = 10 * time.Second

// A visitor is one client. What becomes of its requests is for the services' metrics
// to tell: no answer is looked at further.
type visitor struct {
	base   *url.URL
	dialer *net.Dialer
	http   *http.Client
	recent *links

	mu   sync.Mutex
	held []net.Conn // guarded by mu
}

func newVisitor(base *url.URL, address net.IP, recent *links, old bool) *visitor {
	v := &visitor{base: base, recent: recent, dialer: &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: address}}}
	config := anyCertificate()
	if old {
		config.MaxVersion = tls.VersionTLS12
	}
	v.http = &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: v.dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: !old, DisableKeepAlives: old,
	}}
	return v
}

// anyCertificate: a service started for this has made its own.
func anyCertificate() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(0)} //nolint:gosec // see above
}

// visit does what the crowd does, whether or not it has been answered: at most so many
// at once.
func (v *visitor) visit(ctx context.Context, c crowd, length time.Duration) {
	start := time.Now()
	places := make(chan struct{}, 16)
	var under sync.WaitGroup
	defer func() {
		under.Wait()
		for _, conn := range v.held {
			_ = conn.Close()
		}
		v.http.CloseIdleConnections()
	}()
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch share := time.Since(start).Seconds() / length.Seconds(); {
		case share > c.to:
			return
		case share >= c.from:
			select {
			case places <- struct{}{}:
				under.Go(func() {
					c.do(ctx, v)
					<-places
				})
			default:
			}
		}
	}
}

// create returns what creates messages of at least so many bytes, and fewer than most.
func create(least, most int) func(context.Context, *visitor) {
	return func(ctx context.Context, v *visitor) {
		size := least + rand.IntN(most-least) //nolint:gosec // a size is no secret
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base.String(), strings.NewReader(strings.Repeat("w", size)))
		if err != nil {
			return
		}
		request.Header.Set("Content-Type", "text/plain")
		request.Header.Set("Accept", "text/plain")
		answer, err := v.http.Do(request)
		if err != nil {
			return
		}
		defer func() { _ = answer.Body.Close() }()
		if text, err := io.ReadAll(answer.Body); err == nil && answer.StatusCode == http.StatusOK {
			v.recent.add(strings.TrimSpace(string(text)))
		}
	}
}

func (v *visitor) get(ctx context.Context, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	answer, err := v.http.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
}

func describe(ctx context.Context, v *visitor) { v.get(ctx, v.base.String()) }

func guess(ctx context.Context, v *visitor) {
	v.get(ctx, v.base.JoinPath("msg", uuid.NewString()).String())
}

func read(ctx context.Context, v *visitor) {
	if link := v.recent.any(); link != "" {
		v.get(ctx, link)
	}
}

func speakOldTLS(ctx context.Context, v *visitor) {
	config := anyCertificate()
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn := v.shake(ctx, config); conn != nil {
		_ = conn.Close()
	}
}

func speakPlainHTTP(ctx context.Context, v *visitor) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := v.dialer.DialContext(ctx, "tcp", v.base.Host)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // a service may never answer
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}

// connect shakes hands and leaves.
func connect(ctx context.Context, v *visitor) {
	if conn := v.shake(ctx, anyCertificate()); conn != nil {
		_ = conn.Close()
	}
}

// hold shakes hands and stays.
func hold(ctx context.Context, v *visitor) {
	if conn := v.shake(ctx, anyCertificate()); conn != nil {
		v.mu.Lock()
		v.held = append(v.held, conn)
		v.mu.Unlock()
	}
}

// shake returns nil where the service does not want to.
func (v *visitor) shake(ctx context.Context, config *tls.Config) net.Conn {
	dialer := &tls.Dialer{NetDialer: v.dialer, Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", v.base.Host)
	if err != nil {
		return nil
	}
	return conn
}
