package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
	for _, file := range []string{"docker-compose.yml", "deploy/redis/docker-compose.tls.yml"} {
		found := setting.FindAllStringSubmatch(deployed(t, file), -1)
		if len(found) < 4 {
			t.Errorf("%s: found %d settings", file, len(found))
		}
		for _, match := range found {
			if name, value := match[1], match[2]; !strings.HasPrefix(value, `"${`+name+`-`) {
				t.Errorf("%s sets %s to %s whatever .env says", file, name, value)
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
