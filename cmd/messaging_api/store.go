package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
	"messaging_api/internal/tlscert"
)

// A messageStore is a [message.Store] with what the service needs besides.
type messageStore interface {
	message.Store
	Ping(context.Context) error     // reads
	TryWrite(context.Context) error // and leaves nothing
	Close() error
}

// openStore opens the store that --store names.
func (o *options) openStore(log *slog.Logger) (messageStore, error) {
	path, isFile := o.filePath()
	if !isFile {
		r, err := o.redisStore(log)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	b, err := store.OpenBolt(path, log)
	if err == nil {
		return b, nil
	}
	err = fmt.Errorf("--store: %w", err)
	if folder, _ := os.Getwd(); !filepath.IsAbs(path) {
		err = fmt.Errorf("%w (the path is relative to %s: name an absolute one)", err, folder)
	}
	if errors.Is(err, fs.ErrPermission) {
		err = usageError{err}
	}
	return nil, err
}

// filePath returns the embedded store's file. The result is false for Redis.
func (o *options) filePath() (string, bool) { return strings.CutPrefix(o.Store, "file:") }

// redisStore returns the Redis store. It does not connect.
func (o *options) redisStore(log *slog.Logger) (*store.Redis, error) {
	extra, err := o.redisOptions()
	if err != nil {
		return nil, startError(err)
	}
	r, err := store.NewRedis(o.Store, extra, log)
	if err != nil {
		return nil, usageError{fmt.Errorf("--store: %w", err)}
	}
	return r, nil
}

// redisOptions reads the files that Redis needs.
func (o *options) redisOptions() (extra store.RedisOptions, err error) {
	extra.Replicas = o.RedisReplicas
	if o.RedisPasswordFile != "" {
		b, err := os.ReadFile(o.RedisPasswordFile) //nolint:gosec // the operator names the file
		if err != nil {
			return extra, fmt.Errorf("--redis-password-file: %w", err)
		}
		extra.Password = string(bytes.TrimRight(b, "\r\n"))
		if extra.Password == "" {
			return extra, fmt.Errorf("--redis-password-file %s: is empty", o.RedisPasswordFile)
		}
	}
	if o.RedisCA != "" {
		if extra.RootCAs, err = tlscert.ReadPool(o.RedisCA); err != nil {
			return extra, fmt.Errorf("--redis-ca: %w", err)
		}
	}
	if o.RedisCert != "" {
		if extra.Certificate, err = tlscert.ReadPair(tlscert.Pair{Cert: o.RedisCert, Key: o.RedisKey}); err != nil {
			return extra, fmt.Errorf("--redis-cert, --redis-key: %w", err)
		}
	}
	return extra, nil
}

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

// withoutSecrets removes the user and the query from a store's URL: each may hold a
// password.
func withoutSecrets(store string) string {
	u, err := url.Parse(store)
	if err != nil {
		return "other" // validate lets none through
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
