package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// RedisOptions are what a Redis URL should not or cannot hold.
type RedisOptions struct {
	// Password is that of the user at Redis, if the URL has none. The user is the
	// URL's. With a Sentinel it is ?username=…, because the URL's own user and
	// password are then those at the Sentinel.
	Password string
	// Replicas is how many replicas have to confirm each write. It has to be the
	// number of all that may be promoted; 0: none has to confirm.
	Replicas    int
	RootCAs     *x509.CertPool   // nil: the system's
	Certificate *tls.Certificate // for mutual TLS; nil: none
}

const (
	// One attempt to connect. A Redis that is down is then reported in a
	// millisecond; with go-redis's five attempts it takes half a second.
	redisDials = 1
)

// setClient makes the clients that a URL asks for.
func (r *Redis) setClient(rawURL string, opts RedisOptions) error {
	u, err := redisURL(rawURL, opts)
	if err != nil {
		return err
	}
	switch query := u.Query(); {
	case query.Has("master_name"):
		return r.setSentinels(u, opts)
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return err
		}
		o.Dialer = opts.dialer(o.TLSConfig, r.dialed)
		o.DialerRetries, o.ContextTimeoutEnabled, o.DisableIdentity = redisDials, true, true
		o.DisableRoutingPolicies = true // they ask for COMMAND, which the ACL denies and GET and SET do not need
		r.client = redis.NewClusterClient(o)
		return nil
	default:
		o, err := redis.ParseURL(u.String())
		if err != nil {
			return err
		}
		r.setServer(o, opts.dialer(o.TLSConfig, r.dialed))
		return nil
	}
}

// setServer makes the client of one server.
func (r *Redis) setServer(o *redis.Options, dial dialFunc) {
	o.Dialer = dial
	o.DialerRetries, o.ContextTimeoutEnabled, o.DisableIdentity = redisDials, true, true
	r.client = redis.NewClient(o)
}

// redisURL parses a URL, refuses what go-redis would panic at or misread, and
// adds the settings that it leaves open.
func redisURL(rawURL string, opts RedisOptions) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL") // url.Error would quote the password
	}
	query, err := url.ParseQuery(u.RawQuery)
	switch {
	case u.Scheme != "redis" && u.Scheme != "rediss" || u.Opaque != "":
		return nil, errors.New("must be a redis:// or rediss:// URL")
	case u.Scheme != "rediss" && (opts.RootCAs != nil || opts.Certificate != nil):
		return nil, errors.New("certificates need a rediss:// URL")
	case err != nil || strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@"):
		// A password that was cut at one of these: its rest is in the path or
		// the query, which go-redis quotes in its errors.
		return nil, errors.New("a / ? # or % in a password must be percent-encoded")
	}
	if err := checkQuery(query); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"dial_timeout":  "1s",
		"read_timeout":  "1s",
		"write_timeout": "1s",
		"pool_timeout":  "500ms",
		// RESP2. Version 3 only adds messages that Redis sends without a request.
		// go-redis takes an idle connection with something to read for a dead one.
		"protocol": "2",
		// Pipelines use the common pool, so that there is only one pool to drop.
		"pipeline_pool_size": "-1",
		// An address may move to another server without any error on the old one.
		"conn_max_lifetime":        "5m",
		"conn_max_lifetime_jitter": "1m",
		// None: a Redis that is down is reported at once. A Cluster client still
		// repeats a command when it looks for the node that has the key; Put is
		// safe with that, for the second SET NX finds the first one's key.
		"max_retries": "-1",
	} {
		if query.Get(name) == "" {
			query.Set(name, value)
		}
	}
	if opts.Password != "" {
		if err := setPassword(u, query, opts.Password); err != nil {
			return nil, err
		}
	}
	u.RawQuery = query.Encode()
	return u, nil
}

// setPassword puts the password that the URL leaves out where go-redis looks for
// it.
func setPassword(u *url.URL, query url.Values, password string) error {
	_, inURL := u.User.Password()
	if query.Has("master_name") {
		inURL = query.Has("password")
		query.Set("password", password)
	} else {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	if inURL {
		return errors.New("a password both in the URL and in a file")
	}
	return nil
}

// checkQuery refuses parameters that do not fit this store.
func checkQuery(query url.Values) error {
	for name, values := range query {
		switch name {
		case "read_only", "replica_only", "route_by_latency", "route_randomly":
			return fmt.Errorf("%s: a replica may not have a message yet that its reader was just sent", name)
		case "username", "password", "client_name", "master_name":
			continue // a number is a name there, or a secret
		}
		for _, value := range values {
			n, err := strconv.Atoi(value)
			if err == nil && (n < -1 || n > 1<<16) || n < 0 && name == "pool_size" {
				return fmt.Errorf("%s: %s is out of range", name, value)
			}
		}
	}
	return nil
}
