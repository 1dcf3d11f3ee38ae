package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

// listeners are the service's listeners. Those that are off are nil. The servers close them.
type listeners struct {
	https net.Listener // public
	http  net.Listener // challenges and redirects
	ops   net.Listener // health
}

// listen opens the addresses in the flags. A socket that a service manager passes
// (sd_listen_fds(3)) under the name https, http or ops replaces the flag's address. Such a
// socket stays open during a restart, so that no connection is refused.
func (o *options) listen(ctx context.Context) (l listeners, err error) {
	passed, err := activation.ListenersWithNames()
	if err != nil {
		return l, fmt.Errorf("passed sockets: %w", err)
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // its sockets escape the rules of sandboxes that know TCP
	for _, one := range []struct {
		name, flag, address string
		opened              *net.Listener
	}{
		{"https", "listen", o.Listen, &l.https},
		{"http", "listen-http", o.ListenHTTP, &l.http},
		{"ops", "listen-ops", o.ListenOps, &l.ops},
	} {
		sockets, found := passed[one.name]
		delete(passed, one.name)
		switch {
		case found && (len(sockets) != 1 || sockets[0] == nil):
			return l, usageError{fmt.Errorf("passed socket %q: must be one socket that listens for streams", one.name)}
		case found:
			*one.opened = sockets[0]
		case one.address != "":
			if *one.opened, err = config.Listen(ctx, "tcp", one.address); err != nil {
				return l, startError(fmt.Errorf("--%s: %w", one.flag, err))
			}
		}
	}
	for name := range passed {
		return l, usageError{fmt.Errorf("passed socket %q: its FileDescriptorName must be https, http or ops", name)}
	}
	if o.TLS == "off" && !isLoopback(address(l.https)) && len(o.TrustedProxy) == 0 {
		// validate has checked --listen, but not a passed socket.
		return l, usageError{errors.New("--tls off: the passed socket is not loopback; name the proxy that terminates TLS with --trusted-proxy")}
	}
	return l, o.checkDescriptors(l.http != nil)
}

// address returns a listener's address for people, empty if the listener is off.
func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// ownDescriptors is how many descriptors the service needs besides connections: for the
// log, certificates, the embedded store and the Go runtime, with some reserve.
const ownDescriptors = 64

// checkDescriptors fails if the connections that the flags allow need more file
// descriptors than the process may have: without one, a listener cannot accept. Go has
// raised the soft limit to the hard one.
func (o *options) checkDescriptors(plainHTTP bool) error {
	addresses, others := 1, ownDescriptors+opsConns
	if plainHTTP {
		addresses++
	}
	if _, isFile := o.filePath(); !isFile {
		others += 2 * 10 * runtime.GOMAXPROCS(0) // go-redis has two pools of ten for each processor
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("the limit of file descriptors: %w", err)
	}
	most := (int64(min(limit.Cur, 1<<40)) - int64(others)) / int64(addresses)
	if int64(o.Conns) <= most {
		return nil
	}
	return usageError{fmt.Errorf("--conns %d: needs %d file descriptors, and the process may have %d: raise the limit (ulimit -n, LimitNOFILE=), or set --conns to at most %d",
		o.Conns, o.Conns*addresses+others, limit.Cur, max(most, 0))}
}
