package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"messaging_api/internal/store"
)

// checkStore tries the store that --store names and prints the result. It changes nothing.
func (o *options) checkStore(ctx context.Context, stdout io.Writer) error {
	if path, isFile := o.filePath(); isFile {
		state, err := store.CheckBolt(path)
		if err != nil {
			return fmt.Errorf("--store: %w", err)
		}
		_, err = fmt.Fprintf(stdout, "store %s: %s\n", path, state)
		return err
	}
	r, err := o.redisStore(slog.New(slog.DiscardHandler)) // its errors are returned
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if err := r.Ping(ctx); err != nil {
		return o.explainStore(err)
	}
	lines := []string{"store: Redis answers"}
	info, err := r.Info(ctx)
	if err != nil {
		lines = append(lines, "warning: Redis does not say whether it may lose messages: "+o.explainStore(err).Error())
	}
	for _, risk := range info.Risks {
		lines = append(lines, "warning: Redis may lose messages, or refuse them: "+risk)
	}
	_, err = fmt.Fprintln(stdout, strings.Join(lines, "\n"))
	return err
}

// explainStore adds the flag to check to an error of Redis.
func (o *options) explainStore(err error) error {
	user := "default"
	if u, parseErr := url.Parse(o.Store); parseErr == nil {
		if name := u.User.Username(); name != "" {
			user = name
		}
		if name := u.Query().Get("username"); name != "" {
			user = name
		}
	}
	for _, hint := range [][2]string{
		{"WRONGPASS", fmt.Sprintf("check --redis-password-file, and the user %q in --store", user)},
		{"NOAUTH", fmt.Sprintf("--redis-password-file is not given, and the user in --store is %q", user)},
		{"NOPERM", fmt.Sprintf("the user %q in --store lacks a right: see deploy/redis/users.acl", user)},
		{"rediss://", "check --store"},
		{"x509: ", "check --redis-ca, and the host in --store"},
		{"remote error: tls", "check --redis-cert and --redis-key"},
		{"dial tcp", "check the address in --store"},
	} {
		if strings.Contains(err.Error(), hint[0]) {
			return fmt.Errorf("%w; %s", err, hint[1])
		}
	}
	return err
}
