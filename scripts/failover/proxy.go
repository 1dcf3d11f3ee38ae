package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// A proxy is in front of a server, at an address that does not change. It knows its
// clients by their addresses. It can delay or stop what Redis servers and Sentinels
// send, as a slow or broken network does. What other clients send passes at once.
type proxy struct {
	address string
	done    context.Context
	wait    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	listens net.Listener
	target  string
	delay   time.Duration
	stopped []string      // prefixes of clients' addresses
	changed chan struct{} // closed when stopped changes
	conns   map[net.Conn]string
}

// newProxy listens on a free port of 127.0.0.1 until the context ends.
func newProxy(ctx context.Context, target string) (*proxy, error) {
	p := &proxy{done: ctx, target: target, changed: make(chan struct{}), conns: make(map[net.Conn]string)}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.address = l.Addr().String()
	p.serve(l)
	context.AfterFunc(ctx, p.down)
	return p, nil
}

// up listens again, at the same address.
func (p *proxy) up() error {
	l, err := new(net.ListenConfig).Listen(p.done, "tcp", p.address)
	if err == nil {
		p.serve(l)
	}
	return err
}

func (p *proxy) serve(l net.Listener) {
	p.mu.Lock()
	p.listens = l
	p.mu.Unlock()
	p.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wait.Go(func() { p.pass(conn) })
		}
	})
}

// down refuses new connections and closes the others.
func (p *proxy) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listens.Close()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// retarget sends new connections elsewhere. Those that are open stay where they are.
func (p *proxy) retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// slow delays what servers send from now on.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// stop delivers nothing of clients with these addresses until resume.
func (p *proxy) stop(prefixes ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = prefixes
}

// resume closes the connections that were stopped, and delivers everything again.
func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn, source := range p.conns {
		if p.isStopped(source) {
			_ = conn.Close()
		}
	}
	p.stopped = nil
	close(p.changed)
	p.changed = make(chan struct{})
}

// isStopped is called with mu held.
func (p *proxy) isStopped(source string) bool {
	for _, prefix := range p.stopped {
		if strings.HasPrefix(source, prefix) {
			return true
		}
	}
	return false
}

// await waits until a client with this address may send.
func (p *proxy) await(source string) {
	for {
		p.mu.Lock()
		stopped, changed := p.isStopped(source), p.changed
		p.mu.Unlock()
		if !stopped {
			return
		}
		select {
		case <-changed:
		case <-p.done.Done():
			return
		}
	}
}

// keep remembers both ends of a connection, unless the proxy is down.
func (p *proxy) keep(source string, conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = source
	}
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// pass connects a client with the server, and ends when either of them does.
func (p *proxy) pass(client net.Conn) {
	source := client.RemoteAddr().String()
	p.keep(source, client)
	defer p.forget(client)
	ours := !strings.HasPrefix(source, "127.0.0.1:") // a server or a Sentinel
	if ours {
		p.await(source)
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := new(net.Dialer).DialContext(p.done, "tcp", target)
	if err != nil {
		return
	}
	p.keep(source, server)
	defer p.forget(server)
	transfer := func(to, from net.Conn) { _, _ = io.Copy(to, from) }
	if ours {
		transfer = func(to, from net.Conn) { p.carry(to, from, source) }
	}
	var both sync.WaitGroup
	both.Go(func() {
		transfer(server, client)
		p.forget(client, server)
	})
	transfer(client, server)
	p.forget(client, server)
	both.Wait()
}

// A parcel is some bytes and when they may arrive.
type parcel struct {
	bytes []byte
	due   time.Time
}

// carry copies with delay, without slowing down what comes behind.
func (p *proxy) carry(to, from net.Conn, source string) {
	parcels := make(chan parcel, 4096)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer p.forget(to, from)
	reader.Go(func() {
		defer close(parcels)
		for {
			b := make([]byte, 16<<10)
			n, err := from.Read(b)
			if n > 0 {
				p.mu.Lock()
				delay := p.delay
				p.mu.Unlock()
				select {
				case parcels <- parcel{b[:n], time.Now().Add(delay)}:
				case <-p.done.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for next := range parcels {
		select {
		case <-time.After(time.Until(next.due)):
		case <-p.done.Done():
			return
		}
		p.await(source)
		if _, err := to.Write(next.bytes); errors.Is(err, net.ErrClosed) || err != nil {
			break
		}
	}
	// The reader ends when its connection is closed; it may wait for room until then.
	p.forget(to, from)
	for range parcels { // discard what was not delivered
	}
}
