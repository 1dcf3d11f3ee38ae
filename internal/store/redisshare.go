package store

import "github.com/redis/go-redis/v9"

// Client returns the connections to Redis, for what the service keeps there
// besides messages: one pool, one configuration. They are closed with the store.
func (r *Redis) Client() redis.UniversalClient { return r.client }
