package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
)

// release is the version, set by the linker where a build has one.
var release string

// version is the release, or the version in the build's information.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// healthTimeout bounds the command health. The timeout of a container's health check is
// longer.
const healthTimeout = 3 * time.Second

// health asks /readyz of the service on this machine.
func health(ctx context.Context, o *options) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	answer, err := o.askOps(ctx, http.MethodGet, "/readyz")
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		report, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return fmt.Errorf("not ready: %s: %s", answer.Status, strings.TrimSpace(string(report)))
	}
	return nil
}

// takedown removes a message, named by its link or its id, from the service on this machine.
func takedown(ctx context.Context, o *options, link string) error {
	id := link[strings.LastIndex(link, "/")+1:]
	id, _, _ = strings.Cut(id, "#") // the key, which is nobody's business
	answer, err := o.askOps(ctx, http.MethodDelete, "/msg/"+url.PathEscape(id))
	if err != nil {
		return fmt.Errorf("not removed: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusNoContent {
		report, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return fmt.Errorf("not removed: %s: %s", answer.Status, strings.TrimSpace(string(report)))
	}
	return nil
}

// askOps asks the operations listener of the service on this machine.
func (o *options) askOps(ctx context.Context, method, path string) (*http.Response, error) {
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
	return transport.RoundTrip(request)
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
	if err := o.checkStore(ctx, stdout); err != nil {
		return err
	}
	if source != nil {
		for _, c := range source.Certificates() {
			if _, err = fmt.Fprintln(stdout, certificateLine(c, now)); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Fprintln(stdout, "the configuration is valid")
	return err
}
