package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// clients hands out clients, each with an address of its own.
type clients struct {
	prefix netip.Prefix
	next   uint32
	config *tls.Config
}

// newClients begins somewhere in the prefix: the buckets of the last run's
// addresses may not be full yet.
func newClients(prefix netip.Prefix, config *tls.Config) *clients {
	var start [4]byte
	_, _ = rand.Read(start[:]) // never fails
	return &clients{prefix: prefix.Masked(), next: binary.BigEndian.Uint32(start[:]), config: config}
}

// address returns the next address, not the first or the last of the prefix,
// which in some networks belong to no machine.
func (c *clients) address() netip.Addr {
	base := c.prefix.Addr().As4()
	hosts := uint32(1)<<(32-c.prefix.Bits()) - 2
	c.next++
	n := binary.BigEndian.Uint32(base[:]) + 1 + c.next%max(hosts, 1)
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// one returns a client that speaks HTTP/2 and nothing else.
func (c *clients) one() *client {
	addr := c.address()
	dialer := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))}
	transport := &http.Transport{
		DialContext:     dialer.DialContext,
		TLSClientConfig: c.config.Clone(),
		Protocols:       new(http.Protocols),
	}
	transport.Protocols.SetHTTP2(true)
	return &client{
		addr: addr,
		http: &http.Client{
			Transport:     transport,
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

type client struct {
	addr netip.Addr
	http *http.Client
}

// once sends one request, with an answer in the form of an attack's.
func (c *client) once(target vegeta.Target) (*vegeta.Result, error) {
	request, err := target.Request()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return &vegeta.Result{
		Code: uint16(answer.StatusCode), Headers: answer.Header, Body: body, //nolint:gosec // three digits
		Timestamp: start, Latency: time.Since(start),
	}, err
}

// attack offers a target at a steady rate for a time.
func (c *client) attack(target vegeta.Target, rate vegeta.Rate, d time.Duration) <-chan *vegeta.Result {
	const workers = 64 // requests of one client under way at once, at most
	attacker := vegeta.NewAttacker(vegeta.Client(c.http), vegeta.Workers(workers/8), vegeta.MaxWorkers(workers))
	return attacker.Attack(vegeta.NewStaticTargeter(target), rate, d, "")
}
