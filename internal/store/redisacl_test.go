package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/message"
)

// The shipped user may run what the store runs, and nothing else that this
// Redis knows.
func TestRedisUserMayDoNoMoreThanTheStoreDoes(t *testing.T) {
	for name, test := range map[string]struct {
		open func(*testing.T) (*redisServer, string)
		want []string
		also []string // granted, but not run here
	}{
		"single": {func(t *testing.T) (*redisServer, string) {
			s := startRedis(t, redisSetup{})
			return s, s.url()
		}, storeCommands, notRun},
		"Cluster": {func(t *testing.T) (*redisServer, string) {
			cluster := startCluster(t, 1)
			return cluster[0], clusterURL(cluster)
		}, append([]string{"cluster|slots"}, storeCommands...), append([]string{"asking"}, notRun...)}, // while a slot moves
	} {
		t.Run(name, func(t *testing.T) {
			server, url := test.open(t)
			mayRun := slices.Sorted(slices.Values(slices.Concat(test.want, test.also)))
			if got := server.granted(); !slices.Equal(got, mayRun) {
				t.Errorf("the user may run %q, want %q", got, mayRun)
			}
			m := startMonitor(t, server)
			s := openRedis(t, url, nil)
			writeAndRead(t, s, 4, 4)
			limitedMessage(t, s)
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Info(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := commands(m.output()); !slices.Equal(got, test.want) {
				t.Errorf("the store ran %q, want %q", got, test.want)
			}
			refusesAllElse(t, server, slices.Concat(mayRun, limiterCommands))
		})
	}
}

// storeCommands are what the store runs, in scripts and outside.
var storeCommands = []string{"del", "eval", "get", "info", "pexpire", "role", "set", "wait"}

// notRun are what others run: a container's health check, and the version before this one.
// After an upgrade both versions may run for a while, and a rollback keeps the rules.
var notRun = []string{"ping", "mget", "evalsha"}

// limitedMessage does all that there is to do with the text of a limited message.
func limitedMessage(t *testing.T, s messageStore) {
	t.Helper()
	key := randomKey()
	if err := s.Put(t.Context(), key, []byte("1"), []byte("text"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for i, life := range []message.TextLife{message.KeepText, message.TextLife(time.Minute), message.DropText} {
		mustSwap(t, s, key, fmt.Sprint(i+1), fmt.Sprint(i+2), life)
	}
}

// limiterCommands are what the shared limits run besides, on their own keys: a
// selector of the user's grants them, which has no message's key.
var limiterCommands = []string{"eval", "evalsha", "time"}

// granted returns the commands that the shipped user may run.
func (s *redisServer) granted() []string {
	s.t.Helper()
	user, ok := s.do("acl", "getuser", redisUser).([]any)
	if !ok {
		s.t.Fatalf("ACL GETUSER: no list")
	}
	rules := strings.Fields(fmt.Sprint(user[slices.Index(user, any("commands"))+1]))
	if rules[0] != "-@all" {
		s.t.Errorf("the user's rules begin with %q, want -@all", rules[0])
	}
	var granted []string
	for _, rule := range rules[1:] {
		granted = append(granted, strings.TrimPrefix(rule, "+"))
	}
	slices.Sort(granted)
	return granted
}

// refusesAllElse sends every command that the server has, as the shipped user.
func refusesAllElse(t *testing.T, server *redisServer, allowed []string) {
	t.Helper()
	user := redis.NewClient(&redis.Options{
		Addr: server.addr(), Username: redisUser, Password: redisPassword,
		Protocol: 2, DisableIdentity: true, MaxRetries: -1,
	})
	defer func() { _ = user.Close() }()
	refused := make(map[string]bool)
	for _, name := range server.do("command", "list").([]any) {
		name := name.(string)
		info := server.do("command", "info", name).([]any)[0].([]any)
		arity, flags, parts := info[1].(int64), info[2].([]any), info[9].([]any)
		if len(parts) > 0 || slices.Contains(flags, any("no_auth")) || slices.Contains(allowed, name) {
			continue // its parts are in the list too; what comes before a login is always allowed
		}
		var args []any
		for word := range strings.SplitSeq(name, "|") {
			args = append(args, word)
		}
		for int64(len(args)) < max(arity, -arity) {
			args = append(args, "msg:x")
		}
		// NOPERM, or, for DEBUG and MODULE, that no user has them.
		text := fmt.Sprint(user.Do(t.Context(), args...).Err())
		if !strings.Contains(text, "NOPERM") && !strings.Contains(text, "command not allowed") {
			t.Errorf("%v: got %s, want a refusal", args, text)
		}
		refused[name] = true
	}
	for _, name := range []string{
		"keys", "scan", "flushall", "flushdb", "config|get", "config|set", "function|load", "script|load",
		"unlink", "getdel", "getex", "expire", "persist", "rename", "dump", "monitor", "client|list", "acl|list",
		"debug", "shutdown", "replicaof", "save", "subscribe", "publish",
	} {
		if !refused[name] {
			t.Errorf("%s was not among the commands that were tried", name)
		}
	}
	for what, err := range map[string]error{
		"GET of another's key":      user.Get(t.Context(), "other:x").Err(),
		"SET of another's key":      user.Set(t.Context(), "other:x", "x", time.Hour).Err(),
		"GET without prefix":        user.Get(t.Context(), "msg").Err(),
		"what a script may not do":  user.Eval(t.Context(), "return redis.call('SCAN', '0')", []string{"msg:x"}).Err(),
		"a script beyond its keys":  user.Eval(t.Context(), "return redis.call('GET', 'other:x')", []string{"msg:x"}).Err(),
		"a script on another's key": user.Eval(t.Context(), "return 1", []string{"other:x"}).Err(),
		"DEL of a limit":            user.Del(t.Context(), "rl:x").Err(),
	} {
		if !redis.IsPermissionError(err) && !strings.Contains(fmt.Sprint(err), "The user executing the script can't") {
			t.Errorf("%s: got %v, want NOPERM", what, err)
		}
	}
	if err := user.Get(t.Context(), "msg:x").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("GET of an own key: got %v, want no value", err)
	}
	for _, stranger := range []redis.Options{{}, {Username: "default", Password: redisPassword}, {Username: redisUser}} {
		stranger.Addr, stranger.DisableIdentity, stranger.MaxRetries = server.addr(), true, -1
		client := redis.NewClient(&stranger)
		if err := client.Ping(t.Context()).Err(); !redis.IsAuthError(err) && !strings.Contains(fmt.Sprint(err), "NOAUTH") {
			t.Errorf("PING as %q without its password: got %v, want a refusal", stranger.Username, err)
		}
		_ = client.Close()
	}
}

// What the contract does not name is unavailable, and says why: an operator must
// be able to tell a missing right from a Redis that is down.
func TestRedisMissingRight(t *testing.T) {
	server := startRedis(t, redisSetup{})
	s := server.open()
	server.do("acl", "setuser", redisUser, "-set", "-get")
	key := randomKey()
	err := s.Put(t.Context(), key, []byte("x"), nil, time.Hour)
	wantError(t, "Put", err, message.ErrUnavailable)
	if text := err.Error(); !strings.Contains(text, "NOPERM") || strings.Contains(text, key.Hex()) {
		t.Errorf("Put: got %q, want NOPERM and no key", text)
	}
	wantError(t, "Ping", s.Ping(t.Context()), message.ErrUnavailable)
}

// A monitor has all that a server is asked, as its MONITOR shows it.
type monitor struct {
	server *redisServer
	mu     sync.Mutex
	text   strings.Builder // guarded by mu
}

func startMonitor(t *testing.T, server *redisServer) *monitor {
	t.Helper()
	conn, err := net.Dial("tcp", server.addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "AUTH admin admin\r\nMONITOR\r\n"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	for range 2 {
		if line, err := lines.ReadString('\n'); err != nil || line != "+OK\r\n" {
			t.Fatalf("MONITOR: %q, %v", line, err)
		}
	}
	m := &monitor{server: server}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			m.mu.Lock()
			m.text.WriteString(line)
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return m
}

// output returns all that was asked before.
func (m *monitor) output() string {
	m.server.t.Helper()
	mark := "mark " + randomKey().Hex()
	if err := m.server.admin.Echo(context.Background(), mark).Err(); err != nil {
		m.server.t.Fatal(err)
	}
	var text string
	eventually(m.server.t, "MONITOR shows a mark", func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if text = m.text.String(); !strings.Contains(text, mark) {
			return errors.New("it does not")
		}
		return nil
	})
	return text
}

// monitored is a line of MONITOR: a time, a client, and a command in quotes.
var monitored = regexp.MustCompile(`(?m)^\+[0-9.]+ \[[^]]+\] "([^"]+)"(?: "([^"]+)")?`)

// commands returns what a monitor's output shows besides logins and its mark.
func commands(output string) []string {
	var names []string
	for _, line := range monitored.FindAllStringSubmatch(output, -1) {
		switch name := strings.ToLower(line[1]); name {
		case "hello", "auth", "echo":
		case "cluster":
			names = append(names, name+"|"+strings.ToLower(line[2]))
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
