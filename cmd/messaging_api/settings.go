package main

import (
	"context"
	"log/slog"
	"net/url"

	"github.com/spf13/pflag"
)

// logSettings logs the configuration, on a terminal at debug level only, and warns of
// probable mistakes.
func (o *options) logSettings(ctx context.Context, log *slog.Logger, terminal bool) {
	level := slog.LevelInfo
	if terminal {
		level = slog.LevelDebug
	}
	log.LogAttrs(ctx, level, "configuration", o.settings...)
	for _, proxies := range o.TrustedProxy {
		if proxies.Bits() == 0 {
			log.WarnContext(ctx, "every address is a trusted proxy: clients choose their own address, and pass all limits",
				"event", "configuration", "trusted-proxy", proxies.String())
		}
	}
}

// settings returns the flags that are not empty, for the first line of the log. Secrets are
// in files, of which only the name is a flag, except for a password in --store.
func settings(flags *pflag.FlagSet) []slog.Attr {
	attrs := []slog.Attr{slog.String("event", "configuration")}
	flags.VisitAll(func(flag *pflag.Flag) {
		value := flag.Value.String()
		switch {
		case flag.Hidden, value == "", value == "[]":
			return
		case flag.Name == "store":
			value = withoutSecrets(value)
		}
		attrs = append(attrs, slog.String(flag.Name, value))
	})
	return attrs
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
