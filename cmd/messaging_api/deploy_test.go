package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"messaging_api/internal/limit"
)

// deployed returns a file of the deployment.
func deployed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// .env.example says that any flag can be set in .env. So each that a compose file sets
// too must take the value of .env first.
func TestEnvFileWinsOverComposeFiles(t *testing.T) {
	setting := regexp.MustCompile(`(?m)^ +(MESSAGING_API_\w+): (.*)$`)
	for _, file := range []string{"docker-compose.yml", "deploy/redis/docker-compose.tls.yml", "deploy/docker-compose.sentinel.yml"} {
		found := setting.FindAllStringSubmatch(deployed(t, file), -1)
		if len(found) < 2 {
			t.Errorf("%s: found %d settings", file, len(found))
		}
		for _, match := range found {
			if name, value := match[1], match[2]; !strings.HasPrefix(value, `"${`+name+`-`) {
				t.Errorf("%s sets %s to %s and ignores .env", file, name, value)
			}
		}
	}
}

// bytesOf reads a size as Redis and compose files write it.
func bytesOf(t *testing.T, file, pattern string) int64 {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(deployed(t, file))
	if match == nil {
		t.Fatalf("%s does not match %s", file, pattern)
	}
	megabytes, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return megabytes << 20
}

// One client that stores all that the default limits allow fills at most a tenth of
// the shipped Redis. Redis's allocator takes up to a quarter more than a value has.
func TestOneClientFillsATenthOfTheStore(t *testing.T) {
	o := new(options)
	o.flags()
	speed, _, _ := strings.Cut(o.Rates[limit.Bytes].String(), "/h:")
	var perHour limit.Size
	if err := perHour.UnmarshalText([]byte(speed)); err != nil {
		t.Fatalf("--limit-bytes %v: %v", o.Rates[limit.Bytes], err)
	}
	stored := o.Rates[limit.Bytes].Burst() + int64(perHour)*int64(o.TTLMax.Hours())
	maxmemory := bytesOf(t, "deploy/redis/redis.conf", `(?m)^maxmemory (\d+)mb$`)
	if share := float64(stored) * 1.25 / float64(maxmemory); share > 0.1 {
		t.Errorf("one client fills %.0f %% of maxmemory, want at most 10 %%", share*100)
	}
	for _, file := range []string{"docker-compose.yml", "deploy/redis/docker-compose.tls.yml", "deploy/docker-compose.sentinel.yml"} {
		if got := bytesOf(t, file, `\$\{REDIS_MAXMEMORY:-(\d+)mb\}`); got != maxmemory {
			t.Errorf("%s: maxmemory is %d, but %d in redis.conf", file, got, maxmemory)
		}
	}
	// A rewrite of the log copies each page that changes meanwhile.
	if container := bytesOf(t, "docker-compose.yml", `mem_limit: "\$\{REDIS_MEMORY:-(\d+)m\}"`); container < 2*maxmemory {
		t.Errorf("Redis's container has %d bytes of memory, want twice maxmemory", container)
	}
}

// The service, each master and docker-compose.sentinel.yml agree on how many replicas
// there are.
func TestReplicasAgree(t *testing.T) {
	const compose = "deploy/docker-compose.sentinel.yml"
	want := len(regexp.MustCompile(`(?m)^  redis-\d+:$`).FindAllString(deployed(t, compose), -1))
	for _, setting := range []struct{ file, pattern string }{
		{"deploy/redis/replicas.conf", `(?m)^min-replicas-to-write (\d+)$`},
		{compose, `\$\{MESSAGING_API_REDIS_REPLICAS-(\d+)\}`},
		{compose, `\$\{REDIS_MIN_REPLICAS:-(\d+)\}`},
	} {
		found := regexp.MustCompile(setting.pattern).FindAllStringSubmatch(deployed(t, setting.file), -1)
		if len(found) == 0 {
			t.Errorf("%s does not match %s", setting.file, setting.pattern)
		}
		for _, match := range found {
			if match[1] != strconv.Itoa(want) {
				t.Errorf("%s: %s, want %d", setting.file, match[0], want)
			}
		}
	}
}

// newTree copies what scripts/setup needs into a directory, and returns a function
// that runs it there.
func newTree(t *testing.T) (dir string, setup func(args ...string) (output string, code int)) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"scripts/setup", "scripts/lib.sh", ".env.example", "certs/README.md", "deploy/redis/users.acl",
		"deploy/redis/replicas.acl", "deploy/redis/sentinel.acl",
		"deploy/prometheus/prometheus.yml", "deploy/grafana/dashboards/messaging_api.json"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(deployed(t, name)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(args ...string) (string, int) {
		command := exec.CommandContext(t.Context(), filepath.Join(dir, "scripts/setup"), args...)
		out, err := command.CombinedOutput()
		if err != nil && command.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), command.ProcessState.ExitCode()
	}
}

// scripts/setup HOST writes the host into .env, also where a run without HOST made the
// file. It never replaces a host that the operator chose.
func TestSetupChangesTheHostOrSaysThatItDidNot(t *testing.T) {
	dir, setup := newTree(t)
	host := func() string {
		text, err := os.ReadFile(filepath.Join(dir, ".env"))
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`(?m)^MESSAGING_API_HOST=(.*)$`).FindStringSubmatch(string(text))[1]
	}
	for _, step := range []struct {
		args []string
		code int
		host string
	}{
		{nil, 0, "msg.example.org"},
		{[]string{"one.example", "a@one.example"}, 0, "one.example"},
		{[]string{"one.example", "a@one.example"}, 0, "one.example"},
		{[]string{"one.example"}, 0, "one.example"},
		{nil, 0, "one.example"},
		{[]string{"two.example"}, 1, "one.example"},
		{[]string{"one.example", "b@one.example"}, 1, "one.example"},
		{[]string{"two example"}, 2, "one.example"},
	} {
		out, code := setup(step.args...)
		if code != step.code || host() != step.host {
			t.Errorf("scripts/setup %v: got exit %d and the host %s, want %d and %s\n%s", step.args, code, host(), step.code, step.host, out)
		}
		if code == 1 && !strings.Contains(out, "nothing changed") {
			t.Errorf("scripts/setup %v does not say that it changed nothing: %s", step.args, out)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "secrets")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("secrets/: got %v %v, want mode 0700", info, err)
	}
}

// The firewall's memory is enough for all connections that it takes. One that begins a
// handshake and does not end it costs 66 KiB.
func TestFirewallHasMemoryForItsConnections(t *testing.T) {
	const file = "deploy/firewall/nginx.conf"
	processes := bytesOf(t, file, `worker_processes (\d+);`) >> 20
	connections := processes * (bytesOf(t, file, `worker_connections (\d+);`) >> 20)
	memory := bytesOf(t, "deploy/docker-compose.firewall.yml", `\$\{FIREWALL_MEMORY:-(\d+)m\}`)
	if need := connections * 66 << 10; need > memory*3/4 { // the rules and the sockets take the rest
		t.Errorf("%d connections take %d bytes of %d", connections, need, memory)
	}
}
