package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// listeners are the service's listeners. Those that are off are nil.
type listeners struct {
	https net.Listener // public
	http  net.Listener // challenges and redirects
	ops   net.Listener // health
}

// listen opens the addresses in the flags. A socket that a service manager passes
// (sd_listen_fds(3)) under the name https, http or ops replaces the flag's address. Such a
// socket stays open during a restart, so that no connection is refused.
func (o *options) listen(ctx context.Context) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	passed, err := passedSockets()
	if err != nil {
		return l, err
	}
	for _, one := range []struct {
		name, flag, address string
		opened              *net.Listener
	}{
		{"https", "listen", o.Listen, &l.https},
		{"http", "listen-http", o.ListenHTTP, &l.http},
		{"ops", "listen-ops", o.ListenOps, &l.ops},
	} {
		if socket, ok := passed[one.name]; ok {
			*one.opened = socket
			continue
		}
		if one.address == "" {
			continue
		}
		if *one.opened, err = listenTCP(ctx, one.address); err != nil {
			return l, startError(fmt.Errorf("--%s: %w", one.flag, err))
		}
	}
	if err := o.checkDescriptors(l.http != nil); err != nil {
		return l, err
	}
	if o.TLS == "off" && !isLoopback(l.https.Addr().String()) && len(o.TrustedProxy) == 0 {
		// validate has checked --listen, but not a passed socket.
		return l, usageError{errors.New("--tls off: the passed socket is not loopback; name the proxy that terminates TLS with --trusted-proxy")}
	}
	return l, nil
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.https, l.http, l.ops} {
		if one != nil {
			_ = one.Close()
		}
	}
}

// passedSockets returns the listeners that the service manager has passed.
func passedSockets() (map[string]net.Listener, error) {
	named, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("passed sockets: %w", err)
	}
	known := []string{"https", "http", "ops"}
	passed := make(map[string]net.Listener)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		switch {
		case !slices.Contains(known, name):
			return nil, usageError{fmt.Errorf("passed socket %q: its FileDescriptorName must be one of %s", name, strings.Join(known, ", "))}
		case len(named[name]) != 1:
			return nil, usageError{fmt.Errorf("passed socket %q: is passed %d times", name, len(named[name]))}
		case named[name][0] == nil:
			return nil, usageError{fmt.Errorf("passed socket %q: does not listen for streams", name)}
		}
		passed[name] = named[name][0]
	}
	return passed, nil
}

// listenTCP opens a listener. Multipath TCP stays off: its sockets escape the
// rules of sandboxes that know TCP.
func listenTCP(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	return config.Listen(ctx, "tcp", address)
}
