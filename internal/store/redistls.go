package store

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
)

// dialer completes a configuration for TLS and returns how to connect with it;
// nil, which is go-redis's own way, where there is no TLS.
func (o RedisOptions) dialer(config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if config == nil {
		return nil
	}
	config.MinVersion = tls.VersionTLS12
	config.RootCAs = o.RootCAs
	if o.Certificate != nil {
		config.Certificates = []tls.Certificate{*o.Certificate}
	}
	dialer := tls.Dialer{Config: config}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secure, ok := conn.(*tls.Conn)
		if !ok {
			return conn, nil
		}
		socket, ok := secure.NetConn().(syscall.Conn)
		if !ok {
			return conn, nil
		}
		return tlsConn{secure, socket}, nil
	}
}

// A tlsConn lets go-redis look at the socket under TLS, as it does at any
// other, before it uses an idle connection again. It would otherwise send a
// command down each connection that Redis has closed, when it was restarted,
// and fail that many requests.
type tlsConn struct {
	*tls.Conn
	socket syscall.Conn
}

// SyscallConn implements [syscall.Conn].
func (c tlsConn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }
