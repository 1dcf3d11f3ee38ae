package store

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
)

// sentinelTimeout is how long a Sentinel has to accept a connection, and to answer.
const sentinelTimeout = 500 * time.Millisecond

// setSentinels makes the clients of the Sentinels that a URL names and of the
// master that they watch.
//
// go-redis has such a client too. But it waits for a Sentinel that hangs until
// the dial's timeout, and it panics if an address or an announcement has too few parts.
func (r *Redis) setSentinels(u *url.URL, opts RedisOptions) error {
	all, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return err
	}
	query := u.Query()
	for _, name := range []string{"master_name", "addr", "username", "password"} {
		query.Del(name)
	}
	u.User, u.RawQuery = url.UserPassword(all.Username, all.Password), query.Encode()
	master, err := redis.ParseURL(u.String())
	if err != nil {
		return err
	}
	dial := opts.dialer(all.TLSConfig, r.dialed)
	for _, addr := range all.SentinelAddrs {
		r.sentinels = append(r.sentinels, redis.NewSentinelClient(&redis.Options{
			Addr: addr, Username: all.SentinelUsername, Password: all.SentinelPassword, Dialer: dial,
			DialTimeout: sentinelTimeout, ReadTimeout: sentinelTimeout, WriteTimeout: sentinelTimeout,
			Protocol: master.Protocol, MaxRetries: -1, DialerRetries: redisDials, ContextTimeoutEnabled: true, DisableIdentity: true,
			ConnMaxLifetime: master.ConnMaxLifetime,
		}))
	}
	r.setServer(master, func(ctx context.Context, network, _ string) (net.Conn, error) {
		addr, err := r.masterAddr(ctx, all.MasterName)
		if err != nil {
			return nil, err
		}
		return dial(ctx, network, addr)
	})
	return nil
}

// masterAddr asks all Sentinels at once where their master is, so that one which
// hangs costs no time, and returns the first answer.
func (r *Redis) masterAddr(ctx context.Context, name string) (string, error) {
	answers := make(chan *redis.StringSliceCmd, len(r.sentinels))
	for _, sentinel := range r.sentinels {
		go func() { answers <- sentinel.GetMasterAddrByName(ctx, name) }()
	}
	var failed error
	for range r.sentinels {
		answer := <-answers
		if addr := answer.Val(); len(addr) == 2 {
			return net.JoinHostPort(addr[0], addr[1]), nil
		}
		failed = cmp.Or(failed, answer.Err())
	}
	if errors.Is(failed, redis.Nil) {
		failed = errors.New("no Sentinel knows the master")
	}
	return "", failed
}
