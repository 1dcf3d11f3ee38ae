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
	// Used and Limit are bytes of memory, as in Redis's own INFO; a Limit of 0 is
	// none. Of a Cluster they are those of the fullest master: it refuses the
	// messages that belong there, however much room the others have.
	Used, Limit uint64
	// Risks says why messages that were acknowledged may be lost, or why some are
	// refused; empty if no reason is known. How often the append-only file is synced is not in INFO.
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
// not answer is left out if another one does. It takes INFO, which the user may
// lack the right to: an error like any other. That the user lacks another right is
// among the risks.
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

// denied returns the answer of Redis where its user lacks a right that limited
// messages, or replicas, need. It asks for what changes nothing, about a message
// that is not there.
func (r *Redis) denied(ctx context.Context) error {
	key := randomKey()
	for _, err := range []error{
		r.client.Del(ctx, textKey(key)).Err(),
		r.client.PExpire(ctx, textKey(key), time.Minute).Err(),
		r.client.Eval(ctx, swap, []string{recordKey(key), textKey(key)}, "", "", 0).Err(),
		r.client.Do(ctx, "role").Err(),
		r.client.Do(ctx, "wait", 0, 1).Err(),
	} {
		if redis.IsPermissionError(err) {
			return err
		}
	}
	return nil
}

func (r *Redis) info(ctx context.Context) (all Info, err error) {
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		return askInfo(ctx, r.client)
	}
	var mu sync.Mutex // guards all
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		one, err := askInfo(ctx, master)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		risks := all.Risks
		for _, risk := range one.Risks {
			if !slices.Contains(risks, risk) {
				risks = append(risks, risk)
			}
		}
		if all.Used == 0 || one.fullness() > all.fullness() {
			all = one
		}
		slices.Sort(risks)
		all.Risks = risks
		return nil
	})
	if all.Used > 0 {
		return all, nil
	}
	return Info{}, err
}

// askInfo asks one server.
func askInfo(ctx context.Context, server redis.Cmdable) (Info, error) {
	text, err := server.Info(ctx).Result()
	if err != nil {
		return Info{}, err
	}
	return parseInfo(text)
}

// parseInfo reads the answer of INFO.
func parseInfo(text string) (Info, error) {
	fields := infoFields(text)
	used, err := strconv.ParseUint(fields["used_memory"], 10, 64)
	if err != nil || used == 0 {
		return Info{}, fmt.Errorf("INFO tells used_memory as %q", fields["used_memory"])
	}
	limit, err := strconv.ParseUint(fields["maxmemory"], 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("INFO tells maxmemory as %q", fields["maxmemory"])
	}
	return Info{Used: used, Limit: limit, Risks: risks(fields)}, nil
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

// risks reads the fields of INFO. A field that is not there is a risk too.
func risks(fields map[string]string) (risks []string) {
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
		risks = append(risks, fmt.Sprintf("its role is %q, not master: it refuses messages", role))
	}
	return risks
}
