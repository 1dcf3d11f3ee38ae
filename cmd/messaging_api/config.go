package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"messaging_api/internal/limit"
	"messaging_api/internal/web"
)

// mostMaxBytes bounds --max-bytes, because a body is held in memory. Redis would take
// 512 MiB.
const mostMaxBytes limit.Size = 64 << 20

// validate checks the flags, each alone and together, and normalizes hosts. It reads no
// files.
func (o *options) validate() error {
	if err := o.normalizeHosts(); err != nil {
		return err
	}
	for _, way := range [][2]string{{"listen", o.Listen}, {"listen-http", o.ListenHTTP}, {"listen-ops", o.ListenOps}} {
		_, port, err := net.SplitHostPort(way[1])
		if err == nil {
			_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // a number in range, or a service's name
		}
		if err != nil && (way[0] != "listen-http" || way[1] != "") {
			return fmt.Errorf("--%s %q: must be [HOST]:PORT, such as :8443 or 127.0.0.1:8443", way[0], way[1])
		}
	}
	switch {
	case o.MaxBytes > mostMaxBytes:
		return fmt.Errorf("--max-bytes %v: must be at most %v", o.MaxBytes, mostMaxBytes)
	case o.TTLMax < time.Second || o.TTLMax%time.Second != 0:
		return fmt.Errorf("--ttl-max %v: must be whole seconds, at least one", o.TTLMax)
	case o.TTL < time.Second || o.TTL%time.Second != 0:
		return fmt.Errorf("--ttl %v: must be whole seconds, at least one", o.TTL)
	case o.TTL > o.TTLMax:
		return fmt.Errorf("--ttl %v: must not be longer than --ttl-max %v", o.TTL, o.TTLMax)
	case o.Drain < 0:
		return fmt.Errorf("--drain %v: must not be negative", o.Drain)
	}
	for _, err := range []error{o.validateTLS(), o.validateStore(), o.validateLimits()} {
		if err != nil {
			return err // only the first: an error is one line
		}
	}
	return nil
}

// hostForm says how to write a host that people write in another way.
func hostForm(host string) string {
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil || ascii == host {
		return "an IPv6 address in brackets"
	}
	return "in its ASCII form it is " + ascii
}

// normalizeHosts brings --host and --public-url into the form in which requests' hosts are
// compared with them.
func (o *options) normalizeHosts() error {
	hosts := o.Host
	o.Host = nil
	for _, host := range hosts {
		name, port, ok := web.ParseHost(host)
		if !ok || port != "" {
			return fmt.Errorf("--host %q: must be a host name or an address, without scheme and port; %s", host, hostForm(host))
		}
		o.addHost(name)
	}
	if o.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Scheme != "https" || *u != (url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}) {
		return fmt.Errorf("--public-url %q: must be https://HOST[:PORT][/PREFIX]", o.PublicURL)
	}
	name, port, ok := web.ParseHost(u.Host)
	if !ok {
		return fmt.Errorf("--public-url %q: must name a host, or an address; %s", o.PublicURL, hostForm(u.Hostname()))
	}
	prefix := strings.TrimSuffix(u.EscapedPath(), "/")
	if prefix != "" && path.Clean(prefix) != prefix {
		return fmt.Errorf("--public-url %q: its path has empty or dot segments", o.PublicURL)
	}
	if port == ":443" {
		port = ""
	}
	u.Host = name + port
	if strings.Contains(name, ":") {
		u.Host = "[" + name + "]" + port
	}
	o.PublicURL = "https://" + u.Host + prefix
	o.addHost(name)
	return nil
}

func (o *options) addHost(name string) {
	if !slices.Contains(o.Host, name) {
		o.Host = append(o.Host, name)
	}
}

// validateLimits refuses limits under which no request could succeed.
func (o *options) validateLimits() error {
	for _, number := range []struct {
		flag               string
		value, least, most int
	}{
		{"limit-ipv4-prefix", o.LimitIPv4Prefix, 1, 32},
		{"limit-ipv6-prefix", o.LimitIPv6Prefix, 1, 128},
		{"limit-clients", o.LimitClients, 1, 1 << 26},
		{"conns", o.Conns, 1, 1 << 20},
		{"conns-per-client", o.ConnsPerClient, 0, 1 << 20},
		{"in-flight", o.InFlight, 1, 1 << 20},
		{"log-days", o.LogDays, 0, 36500},
		{"redis-replicas", o.RedisReplicas, 0, 100},
	} {
		if number.value < number.least || number.value > number.most {
			return fmt.Errorf("--%s %d: must be from %d to %d", number.flag, number.value, number.least, number.most)
		}
	}
	for flag, counted := range map[string]limit.Budget{
		"limit-create": limit.Create, "limit-token-create": limit.TokenCreate, "limit-read": limit.Read,
		"limit-miss": limit.Miss, "handshakes-per-client": limit.Handshake,
	} {
		if text := o.Rates[counted].String(); strings.Contains(text, "B") {
			return fmt.Errorf("--%s %s: it does not limit bytes: write its numbers without KiB and the like", flag, text)
		}
	}
	_, isFile := o.filePath()
	switch {
	case o.CreateTokenFile == "" && !o.Rates[limit.TokenCreate].Off():
		return errors.New("--limit-token-create: needs --create-token-file")
	case isFile && o.LimitScope == "shared":
		return errors.New("--limit-scope shared: needs a Redis store, where replicas meet")
	case !o.Rates[limit.Bytes].Off() && o.Rates[limit.Bytes].Burst() < int64(o.MaxBytes)+web.MessageOverhead:
		return fmt.Errorf("--limit-bytes %v: its burst must be at least %d bytes more than --max-bytes %v, or the largest message could never be created", o.Rates[limit.Bytes], web.MessageOverhead, o.MaxBytes)
	case !o.Rates[limit.ReadBytes].Off() && o.Rates[limit.ReadBytes].Burst() < int64(o.MaxBytes):
		return fmt.Errorf("--limit-read-bytes %v: its burst must not be less than --max-bytes %v, or one message could use up hours of reading", o.Rates[limit.ReadBytes], o.MaxBytes)
	}
	return nil
}

func (o *options) validateTLS() error {
	files := len(o.TLSCert) + len(o.TLSKey)
	switch {
	case o.TLS == "files" && (len(o.TLSCert) == 0 || len(o.TLSCert) != len(o.TLSKey)):
		return fmt.Errorf("--tls files: needs --tls-cert FILE and --tls-key FILE in pairs, got %d and %d", len(o.TLSCert), len(o.TLSKey))
	case o.TLS != "files" && files > 0:
		return fmt.Errorf("--tls %s: --tls-cert and --tls-key need --tls files", o.TLS)
	case o.TLS == "acme" && len(o.Host) == 0:
		return errors.New("--tls acme: needs --host, a name to order a certificate for")
	case o.TLS != "acme" && o.ACME.Email+o.ACME.Directory+o.ACME.CAFile+o.ACME.EABKeyID+o.ACME.EABKeyFile != "":
		return fmt.Errorf("--tls %s: the --acme flags need --tls acme", o.TLS)
	case o.TLS == "off" && !isLoopback(o.Listen) && len(o.TrustedProxy) == 0:
		return fmt.Errorf("--tls off: --listen %q is not loopback; name the proxy that terminates TLS with --trusted-proxy, or messages would cross the network in clear", o.Listen)
	}
	return nil
}

// isLoopback reports whether only this machine can connect to an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (o *options) validateStore() error {
	path, isFile := o.filePath()
	u, err := url.Parse(o.Store)
	switch {
	case isFile && path == "":
		return errors.New("--store file: needs a path such as file:var/messages.db")
	case isFile && (o.RedisPasswordFile+o.RedisCA+o.RedisCert+o.RedisKey != "" || o.RedisReplicas > 0):
		return errors.New("--redis-password-file, --redis-ca, --redis-cert, --redis-key and --redis-replicas need --store redis://… or rediss://…; a file: store has no use for them")
	case !isFile && (err != nil || u.Scheme != "redis" && u.Scheme != "rediss"):
		return errors.New("--store: must be file:PATH, redis://USER@HOST:PORT or rediss://USER@HOST:PORT")
	case (o.RedisCert == "") != (o.RedisKey == ""):
		return errors.New("--redis-cert and --redis-key: one needs the other")
	}
	return nil
}

// limits returns the bounds of a new message.
func (o *options) limits() web.Limits {
	return web.Limits{MaxBytes: int64(o.MaxBytes), TTL: o.TTL, TTLMax: o.TTLMax}
}
