package store_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// clusterGrant is what a Cluster's clients need besides, to learn which node
// has which keys.
const clusterGrant = " +cluster|slots +asking"

// lastSlot is the last of a Cluster's hash slots.
const lastSlot = 16383

// startNode starts a node of a Cluster that has no slots yet.
func startNode(t testing.TB) *redisServer {
	t.Helper()
	return startRedis(t, redisSetup{
		args:  []string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000"},
		grant: clusterGrant,
	})
}

// startCluster starts a Cluster of as many nodes, each with its share of slots.
func startCluster(t testing.TB, nodes int) []*redisServer {
	t.Helper()
	cluster := make([]*redisServer, nodes)
	for i := range cluster {
		cluster[i] = startNode(t)
		first, last := i*(lastSlot+1)/nodes, (i+1)*(lastSlot+1)/nodes-1
		cluster[i].do("cluster", "addslotsrange", first, last)
		if i > 0 {
			cluster[i].do("cluster", "set-config-epoch", i+1)
			cluster[i].do("cluster", "meet", "127.0.0.1", cluster[0].port)
		}
	}
	awaitCluster(t, cluster)
	return cluster
}

// awaitCluster waits until all nodes know each other and where all slots are.
func awaitCluster(t testing.TB, cluster []*redisServer) {
	t.Helper()
	for _, node := range cluster {
		eventually(t, "the Cluster is complete", func() error {
			info := fmt.Sprint(node.do("cluster", "info"))
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(len(cluster))) {
				return errors.New(info)
			}
			return nil
		})
	}
}

// clusterURL is the URL of a Cluster.
func clusterURL(cluster []*redisServer) string {
	return cluster[0].url() + "?addr=" + cluster[len(cluster)-1].addr()
}

// sentinelUsers is what the store needs of a Sentinel.
const sentinelUsers = `user default off
user monitor on >monitored resetchannels -@all +sentinel|get-master-addr-by-name
user admin on >admin ~* &* +@all
`

// startSentinel starts a Sentinel that watches master, and returns a store's URL.
func startSentinel(t testing.TB, master *redisServer) string {
	t.Helper()
	_, url := startSentinels(t, master, 1)
	return url
}

// startSentinels starts Sentinels that watch master, and returns a store's URL.
func startSentinels(t testing.TB, master *redisServer, n int) (processes []*exec.Cmd, url string) {
	t.Helper()
	url = fmt.Sprintf("?master_name=here&username=%s", redisUser)
	for i := range n {
		dir, port := t.TempDir(), freePort(t)
		users, config := filepath.Join(dir, "users.acl"), filepath.Join(dir, "sentinel.conf")
		writeFile(t, users, []byte(sentinelUsers))
		writeFile(t, config, fmt.Appendf(nil, `bind 127.0.0.1
port %d
dir %s
aclfile %s
sentinel monitor here 127.0.0.1 %d 1
sentinel auth-user here admin
sentinel auth-pass here admin
sentinel down-after-milliseconds here 500
sentinel failover-timeout here 3000
`, port, dir, users, master.port))
		process := exec.Command(master.program, config, "--sentinel")
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = process.Process.Kill()
			_ = process.Wait()
		})
		processes = append(processes, process)
		admin := redis.NewSentinelClient(&redis.Options{
			Addr: fmt.Sprintf("127.0.0.1:%d", port), Username: "admin", Password: "admin", DisableIdentity: true,
		})
		eventually(t, "the Sentinel knows its master", func() error {
			return admin.GetMasterAddrByName(context.Background(), "here").Err()
		})
		_ = admin.Close()
		if i == 0 {
			url = fmt.Sprintf("redis://monitor:monitored@127.0.0.1:%d%s", port, url)
		} else {
			url += fmt.Sprintf("&addr=127.0.0.1:%d", port)
		}
	}
	return processes, url
}
