package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// An Info is what Redis tells of itself.
type Info struct {
	// Used and Limit are bytes of memory, as in Redis's own INFO; a Limit of 0 means
	// none. In a Cluster they are those of the fullest master: it refuses its
	// messages even if the others have room.
	Used, Limit uint64
	// Risks says why messages that were acknowledged may be lost, or why some are
	// refused; empty if no reason is known. INFO does not say how often the
	// append-only file is synced.
	Risks []string
}

// fullness is the share of the memory that is used.
func (i Info) fullness() float64 {
	if i.Limit == 0 {
		return 0
	}
	return float64(i.Used) / float64(i.Limit)
}

// Info asks Redis about itself, or all masters of a Cluster: a master that does
// not answer is left out if another one does. If the user may not run INFO, that is
// an error like any other. A missing right to another command is among the risks.
func (r *Redis) Info(ctx context.Context) (Info, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	info, err := r.info(ctx)
	if err != nil {
		return Info{}, redisError(ctx, err)
	}
	if denied := r.denied(ctx); denied != nil {
		info.Risks = append(info.Risks, fmt.Sprintf("it refuses a right that this version needs: %v: users.acl is that of an older version", denied))
	}
	return info, nil
}

// denied returns the answer of Redis if its user lacks a right that limited messages
// or replicas need. It runs commands that change nothing, for a message that does
// not exist.
func (r *Redis) denied(ctx context.Context) error {
	key := randomKey()
	cmds, _ := r.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		p.Del(ctx, textKey(key))
		p.PExpire(ctx, textKey(key), time.Minute)
		p.Eval(ctx, swap, []string{recordKey(key), textKey(key)}, "", "", 0)
		p.Do(ctx, "role")
		p.Do(ctx, "wait", 0, 1)
		return nil
	})
	for _, cmd := range cmds {
		if redis.IsPermissionError(cmd.Err()) {
			return cmd.Err()
		}
	}
	return nil
}

func (r *Redis) info(ctx context.Context) (all Info, err error) {
	var mu sync.Mutex // guards all
	ask := func(ctx context.Context, server *redis.Client) error {
		text, err := server.Info(ctx).Result()
		if err != nil {
			return err
		}
		one, err := parseInfo(text, r.replicas)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		one.Risks = append(one.Risks, all.Risks...)
		if one.fullness() < all.fullness() {
			one.Used, one.Limit = all.Used, all.Limit
		}
		slices.Sort(one.Risks)
		one.Risks = slices.Compact(one.Risks)
		all = one
		return nil
	}
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, ask)
	} else {
		err = ask(ctx, r.client.(*redis.Client))
	}
	if all.Used > 0 {
		err = nil
	}
	return all, err
}

// parseInfo reads the answer of INFO.
func parseInfo(text string, replicas int) (Info, error) {
	fields := infoFields(text)
	used, err := strconv.ParseUint(fields["used_memory"], 10, 64)
	if err != nil || used == 0 {
		return Info{}, fmt.Errorf("INFO tells used_memory as %q", fields["used_memory"])
	}
	limit, err := strconv.ParseUint(fields["maxmemory"], 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("INFO tells maxmemory as %q", fields["maxmemory"])
	}
	return Info{Used: used, Limit: limit, Risks: risks(fields, replicas)}, nil
}

// infoFields returns the lines of INFO by name.
func infoFields(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	return fields
}

// oldestRedis is the first version that has the access rules and the append-only
// file as this service expects them.
const oldestRedis = 7

// risks reads the fields of a server's INFO. replicas is how many of its replicas have to
// confirm a write. A missing field is a risk too.
func risks(fields map[string]string, replicas int) (risks []string) {
	version := fields["redis_version"]
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestRedis {
		risks = append(risks, fmt.Sprintf("its version is %q, and %d.0 is the oldest that is supported", version, oldestRedis))
	}
	if fields["aof_enabled"] != "1" {
		risks = append(risks, "it has no append-only file (appendonly yes): if it is killed, messages are lost")
	}
	if policy := fields["maxmemory_policy"]; policy != "noeviction" {
		risks = append(risks, fmt.Sprintf("its maxmemory-policy is %q, not noeviction: when it is full, messages are lost", policy))
	}
	if role := fields["role"]; role != "master" {
		return append(risks, fmt.Sprintf("its role is %q, not master: it refuses messages", role))
	}
	switch has, _ := strconv.Atoi(fields["connected_slaves"]); {
	case has > replicas:
		risks = append(risks, fmt.Sprintf("it has %d replicas, and --redis-replicas is %d: when another one is promoted, messages are lost", has, replicas))
	case has < replicas:
		risks = append(risks, fmt.Sprintf("it has %d replicas, and --redis-replicas is %d: it refuses messages", has, replicas))
	}
	return risks
}
