package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// A space is how full one server is.
type space struct{ used, limit uint64 } // bytes; a limit of 0 is none

// fullness is the share that is used.
func (s space) fullness() float64 {
	if s.limit == 0 {
		return 0
	}
	return float64(s.used) / float64(s.limit)
}

// Space returns how many bytes of memory Redis uses and how many it may, 0 if
// there is no limit. Of a Cluster it is the fullest master's: one that is full
// refuses the messages that belong there, however much room the others have. It
// takes INFO, which the user may lack the right to: an error like any other.
func (r *Redis) Space(ctx context.Context) (used, limit uint64, err error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	fullest, err := r.fullest(ctx)
	if err != nil {
		return 0, 0, redisError(ctx, err)
	}
	return fullest.used, fullest.limit, nil
}

// fullest asks every server that takes writes. The figure is that of those who
// answer: one that is down has none, and is no reason to overlook one that is full.
func (r *Redis) fullest(ctx context.Context) (fullest space, err error) {
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		return askSpace(ctx, r.client)
	}
	var mu sync.Mutex // guards fullest
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		s, err := askSpace(ctx, master)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if fullest.used == 0 || s.fullness() > fullest.fullness() {
			fullest = s
		}
		return nil
	})
	if fullest.used > 0 {
		return fullest, nil
	}
	return space{}, err
}

// askSpace asks one server.
func askSpace(ctx context.Context, server redis.Cmdable) (space, error) {
	text, err := server.Info(ctx, "memory").Result()
	if err != nil {
		return space{}, err
	}
	return parseSpace(text)
}

// parseSpace reads the answer of INFO memory.
func parseSpace(text string) (s space, err error) {
	limited := false
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "used_memory":
			s.used, err = strconv.ParseUint(value, 10, 64)
		case "maxmemory":
			s.limit, err = strconv.ParseUint(value, 10, 64)
			limited = true
		}
		if err != nil {
			return space{}, err
		}
	}
	if s.used == 0 || !limited {
		return space{}, errors.New("INFO memory does not tell used_memory and maxmemory")
	}
	return s, nil
}
