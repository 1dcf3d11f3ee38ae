package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// dialer returns how go-redis connects to Redis, to a Sentinel and to the nodes
// of a Cluster. It completes a configuration for TLS; nil is no TLS.
func (o RedisOptions) dialer(config *tls.Config, dialed *dialTime) dialFunc {
	dial := new(net.Dialer).DialContext
	if config != nil {
		config.MinVersion = tls.VersionTLS12
		config.RootCAs = o.RootCAs
		if o.Certificate != nil {
			config.Certificates = []tls.Certificate{*o.Certificate}
		}
		dial = (&tls.Dialer{Config: config}).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		at := dialed.now()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, handshakeError(addr, err)
		}
		socket := conn
		if secure, ok := conn.(*tls.Conn); ok {
			socket = secure.NetConn()
		}
		raw, ok := socket.(syscall.Conn)
		if !ok {
			_ = conn.Close()
			return nil, fmt.Errorf("%s: not a socket", addr)
		}
		return &redisConn{Conn: conn, socket: raw, silent: config == nil, dialed: dialed, at: at}, nil
	}
}

// A dialFunc is a dialer of go-redis.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// handshakeError names the likely cause of a TLS handshake that got no answer,
// or one that is not TLS. A Redis without TLS waits for the end of what it takes
// for a command.
func handshakeError(addr string, err error) error {
	var network *net.OpError
	var record tls.RecordHeaderError
	timedOut := errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &network)
	if timedOut || errors.As(err, &record) {
		return fmt.Errorf("%s does not speak TLS: rediss:// needs a Redis with a tls-port, redis:// is without TLS", addr)
	}
	return err
}

// A redisConn is a connection on which no reply can make go-redis allocate more
// than a limit: it believes each length that it reads.
type redisConn struct {
	net.Conn
	socket  syscall.Conn // under TLS, where there is TLS
	replies replyScanner // used by the one goroutine that sends a command and reads its reply
	silent  bool         // no TLS, and nothing has come yet; Read's
	dialed  *dialTime
	at      int64 // when it was dialed
}

// Read implements [net.Conn]. The bytes that break a limit do not reach go-redis.
func (c *redisConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.silent && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		err = fmt.Errorf("%s closed the connection before it replied: use rediss:// if it wants TLS", c.RemoteAddr())
	}
	c.silent = c.silent && n == 0
	if bad := c.replies.scan(b[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

// SyscallConn implements [syscall.Conn]. go-redis looks at the socket before it
// uses an idle connection again. Without that it would send a command down each
// connection that a restarted Redis has closed, and fail that many requests. It
// closes a connection that it cannot look at, and dials another one: that is how
// those end which may lead to a server that is no longer the master.
func (c *redisConn) SyscallConn() (syscall.RawConn, error) {
	if c.at <= c.dialed.after.Load() {
		return nil, net.ErrClosed
	}
	return c.socket.SyscallConn()
}
