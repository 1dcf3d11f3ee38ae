// Command failover tests what messaging_api promises while Redis fails over. It starts
// Redis servers with deploy/redis's configuration (with Sentinels, and as a Cluster),
// the service and 24 clients. Then it has masters replaced, killed, paused and cut off.
// After each round it reads back what was acknowledged.
//
//	failover [flags]
//
// Exit code 1: a promise was broken. 2: nothing was shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
	}
	code := 0
	switch {
	case errors.Is(err, errBroken):
		code = 1
	case err != nil:
		code = 2
	}
	os.Exit(code) //nolint:forbidigo // the one place
}

// silent is a logger for go-redis that drops every line.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// errBroken is why the exit code is 1.
var errBroken = errors.New("a promise was broken")

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("failover", flag.ContinueOnError)
	binary := flags.String("binary", "", "messaging_api")
	deploy := flags.String("deploy", "deploy/redis", "directory of the configuration of Redis")
	dir := flags.String("dir", "", "empty directory for everything")
	times := flags.Int("times", 1, "how often each part's rounds are played")
	confirm := flags.Bool("confirm", true, "run the service with --redis-replicas; without it losses are counted and allowed")
	only := flags.String("only", "", "parts to run, with commas between: sentinel, cluster, redis, rediss, single, disk; all of them if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	redis.SetLogger(silent{}) // servers that do not answer are what this is about
	l := &lab{ctx: ctx, dir: *dir, binary: *binary, output: stdout}
	var err error
	if l.deploy, err = filepath.Abs(*deploy); err != nil {
		return err
	}
	return l.play(strings.Split(*only, ","), *times, *confirm)
}

// play runs the parts that are named, or all. The rounds of all add up to 20, besides
// those of a single Redis.
func (l *lab) play(only []string, times int, confirm bool) error {
	var broken error
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"sentinel", func() error { return topologyRounds(l, startSentinels, 9*times, confirm) }},
		{"cluster", func() error { return topologyRounds(l, startCluster, 7*times, confirm) }},
		{"redis", func() error { return movingRounds(l, false, 3*times, confirm) }},
		{"rediss", func() error { return movingRounds(l, true, times, confirm) }},
		{"single", func() error { return singleRounds(l, times) }},
		{"disk", func() error { return fullDisk(l) }},
	} {
		if only[0] != "" && !slices.Contains(only, part.name) {
			continue
		}
		err := part.run()
		switch {
		case errors.Is(err, errNotRoot) && os.Getenv("CI") == "":
			_, _ = fmt.Fprintf(l.output, "NOT TESTED: %s: %v\n", part.name, err)
		case err != nil && !errors.Is(err, errBroken):
			return fmt.Errorf("%s: %w", part.name, err)
		default:
			broken = errors.Join(broken, err)
		}
	}
	return broken
}

// topologyRounds plays rounds with servers that Sentinels or a Cluster fail over.
func topologyRounds(l *lab, start func(*lab, bool) (topology, error), count int, confirm bool) error {
	t, err := start(l, confirm)
	if err != nil {
		return err
	}
	return matrix(l, t, faults(), count, confirm)
}

// movingRounds plays rounds with an address that moves.
func movingRounds(l *lab, secure bool, count int, confirm bool) error {
	t, err := startMoving(l, secure, confirm)
	if err != nil {
		return err
	}
	return matrix(l, t, t.moves(), count, confirm, t.serviceFlags()...)
}

// singleRounds plays rounds with one slow Redis. It has no replica to confirm writes.
func singleRounds(l *lab, times int) error {
	t, err := startSingle(l)
	if err != nil {
		return err
	}
	return matrix(l, t, slowness(), len(slowness())*times, true)
}

// matrix plays rounds on one topology, with each fault in turn.
func matrix(l *lab, t topology, all []fault, count int, confirm bool, flags ...string) error {
	replicas := 0
	if confirm {
		replicas = t.replicas()
	}
	s, err := l.startService(t.name(), t.storeURL(), replicas, flags...)
	if err != nil {
		return err
	}
	defer s.stop()
	var rounds []*round
	broken := false
	for i := range count {
		r, err := play(l, t, s, all[i%len(all)], replicas)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", t.name(), all[i%len(all)].name, err)
		}
		rounds = append(rounds, r)
		_, _ = fmt.Fprintln(l.output, r)
		if problem := r.problem(); problem != "" {
			broken = true
			_, _ = fmt.Fprintln(l.output, "   ", problem)
		}
	}
	if again := reread(l, s, rounds); again.bad() {
		broken = true
		_, _ = fmt.Fprintf(l.output, "%s: of %d messages of all rounds %d are gone now\n", t.name(), again.acked, again.lost+again.unaudited)
	}
	return summarize(l, t, rounds, broken && confirm)
}

// summarize sums the rounds up, and ends the servers of the topology.
func summarize(l *lab, t topology, rounds []*round, broken bool) error {
	var sum verdict
	var recovery []int64
	for _, r := range rounds {
		sum.add(r.verdict)
		recovery = append(recovery, r.recovery.Milliseconds())
	}
	slices.Sort(recovery)
	_, _ = fmt.Fprintf(l.output, "%s: %d rounds, %d messages acknowledged, %d lost, %d false 404 or 410, %d opened too often, %d undone; the slowest answer took %d ms; the service back %d ms after Redis at most\n",
		t.name(), len(rounds), sum.acked, sum.lost, sum.falseGone, sum.tooOften, sum.undone, sum.slowest.Milliseconds(), recovery[len(recovery)-1])
	for _, one := range t.servers() {
		one.kill()
		_ = one.admin.Close()
	}
	if broken {
		return errBroken
	}
	return nil
}
