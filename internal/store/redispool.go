package store

// A Pool is the state of a store's connections.
type Pool struct {
	Open, Idle int
	Timeouts   uint64 // how often none was free in time, since the start
}

// Pool returns the state of the connections to Redis, to all of its nodes.
func (r *Redis) Pool() Pool {
	st := r.client.PoolStats()
	return Pool{Open: int(st.TotalConns), Idle: int(st.IdleConns), Timeouts: uint64(st.Timeouts)}
}
