package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"messaging_api/internal/store"
)

// release is the version, set by the linker where a build has one.
var release string

// build returns the version and the commit that the binary was built from, as far as it
// knows them.
func build() (version, revision string) {
	version = cmp.Or(release, "unknown")
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			revision = setting.Value
		}
	}
	return cmp.Or(release, info.Main.Version), revision
}

// healthTimeout bounds the command health. The timeout of a container's health check is
// longer.
const healthTimeout = 3 * time.Second

// health asks /readyz of the service on this machine.
func health(ctx context.Context, o *options) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	body, err := o.askOps(ctx, http.MethodGet, "/readyz", http.StatusOK)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	return body.Close()
}

// takedown removes a message, named by its link or its id, from the service on this machine.
func takedown(ctx context.Context, o *options, link string) error {
	id := link[strings.LastIndex(link, "/")+1:]
	id, _, _ = strings.Cut(id, "#") // the key, which the service must not get
	body, err := o.askOps(ctx, http.MethodDelete, "/msg/"+url.PathEscape(id), http.StatusNoContent)
	if err != nil {
		return fmt.Errorf("not removed: %w", err)
	}
	return body.Close()
}

// backup copies the embedded store of the service on this machine to a new file.
func backup(ctx context.Context, o *options, path string) error {
	body, err := o.askOps(ctx, http.MethodGet, "/backup", http.StatusOK)
	if err != nil {
		return fmt.Errorf("no backup: %w", err)
	}
	defer func() { _ = body.Close() }()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return usageError{fmt.Errorf("no backup: %w", err)}
	}
	_, err = io.Copy(file, body)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		_, err = store.CheckBolt(path)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("no backup: %w", err), os.Remove(path))
	}
	return err
}

// askOps asks the operations listener of the service on this machine, and returns the body
// of an answer that has the wanted status.
func (o *options) askOps(ctx context.Context, method, path string, want int) (io.ReadCloser, error) {
	host, port, err := net.SplitHostPort(o.ListenOps)
	if err != nil {
		return nil, usageError{err}
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "localhost"
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+net.JoinHostPort(host, port)+path, nil) //nolint:gosec // the operator names the address
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy from the environment
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == want {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	report, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	return nil, fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(report)))
}

// check reads the certificates and secrets as serve does, tries the store, and prints the
// results. It does not open the log, because a running service may have locked it.
func check(ctx context.Context, o *options, stdout io.Writer) error {
	log := slog.New(slog.NewTextHandler(stdout, nil))
	now := time.Now()
	source, err := o.certificates(now, log)
	if err != nil {
		return err
	}
	tokens, err := o.openTokens(log)
	if err != nil {
		return err
	}
	if err := o.checkStore(ctx, stdout); err != nil {
		return err
	}
	var lines []string
	if tokens != nil {
		lines = append(lines, fmt.Sprintf("tokens %s: %d, that may create messages", tokens.path, len(tokens.current.Load().names)))
	}
	if source != nil {
		for _, c := range source.Certificates() {
			lines = append(lines, "certificate "+describeCertificate(c, now))
		}
	}
	lines = append(lines, "the configuration is valid")
	_, err = fmt.Fprintln(stdout, strings.Join(lines, "\n"))
	return err
}
