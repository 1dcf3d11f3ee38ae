package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"messaging_api/internal/flags"
	"messaging_api/internal/limit"
	"messaging_api/internal/tlscert"
)

// options are the values of the flags, which are described below.
type options struct {
	Listen       string
	ListenHTTP   string
	ListenOps    string
	Host         []string
	PublicURL    string
	Page         bool
	TrustedProxy prefixes

	Store             string
	RedisPasswordFile string
	RedisCA           string
	RedisCert         string
	RedisKey          string
	RedisReplicas     int

	TLS     string
	TLSCert []string
	TLSKey  []string
	TLSMin  string
	ACME    tlscert.ACMEConfig

	CreateTokenFile string
	CreateFrom      prefixes

	MaxBytes        limit.Size
	TTL             time.Duration
	TTLMax          time.Duration
	Rates           limit.Limits
	LimitIPv4Prefix int
	LimitIPv6Prefix int
	LimitClients    int
	LimitScope      string
	Conns           int
	ConnsPerClient  int
	InFlight        int

	LogDir    string
	LogDays   int
	LogClient string
	LogLevel  string
	Drain     time.Duration

	operand string // of the commands that take one

	settings []slog.Attr // all flags, for the log
}

// flags defines the flags of o, with their defaults.
func (o *options) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("messaging_api", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	o.addressFlags(f)
	o.storeFlags(f)
	o.tlsFlags(f)
	o.limitFlags(f)
	o.logFlags(f)
	return f
}

func (o *options) addressFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Listen, "listen", ":8443", "Public HTTPS address, [HOST]:PORT.")
	f.StringVar(&o.ListenHTTP, "listen-http", "", "Plain HTTP address, for ACME challenges and redirects to https; off when empty.")
	f.StringVar(&o.ListenOps, "listen-ops", "127.0.0.1:8081", "Health and metrics address, plain HTTP; never public.")
	f.StringSliceVar(&o.Host, "host", nil, "Name that the service answers to; repeatable. Other names get a 421. Without it, every name is served.")
	f.StringVar(&o.PublicURL, "public-url", "", "Start of every link, https://HOST[:PORT][/PREFIX], if a proxy changes it; implies --host HOST.")
	f.BoolVar(&o.Page, "page", true, "Answer browsers with a page to write and read messages. If false, there is only the API.")
	f.StringVar(&o.CreateTokenFile, "create-token-file", "", "File with a line NAME:TOKEN for each client that may create messages; without it and --create-from, everybody may. SIGHUP reads it again.")
	f.Var(&o.CreateFrom, "create-from", "Address or range (10.0.0.0/8) of clients that may create messages without a token; repeatable.")
	f.Var(&o.TrustedProxy, "trusted-proxy", "Address or range (10.0.0.0/8) of trusted proxies; their X-Forwarded-For is used; repeatable. Required with --tls off, unless --listen is loopback.")
}

func (o *options) storeFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Store, "store", "file:var/messages.db", "Store of the messages: file:PATH (embedded), or a redis:// or rediss:// URL. ?addr=HOST:PORT means a Cluster, ?master_name=NAME a Sentinel.")
	f.StringVar(&o.RedisPasswordFile, "redis-password-file", "", "File with the password of the Redis user.")
	f.StringVar(&o.RedisCA, "redis-ca", "", "File with the PEM certificates of the CA of Redis, for rediss://.")
	f.StringVar(&o.RedisCert, "redis-cert", "", "File with the PEM certificate chain for Redis, for rediss://.")
	f.StringVar(&o.RedisKey, "redis-key", "", "File with the PEM key of --redis-cert.")
	f.IntVar(&o.RedisReplicas, "redis-replicas", 0, "Replicas of Redis that confirm each write before it is answered: all that may be promoted. With fewer in time, a write gets a 503.")
}

func (o *options) tlsFlags(f *pflag.FlagSet) {
	o.TLS = "self-signed"
	f.Var(flags.OneOf(&o.TLS, "self-signed", "files", "acme", "off"), "tls", "Source of the certificate: self-signed (in memory, for development), files, acme (ordered for each --host), or off (a proxy terminates TLS).")
	f.StringSliceVar(&o.TLSCert, "tls-cert", nil, "File with a PEM certificate chain, for --tls files; repeatable, each with a --tls-key.")
	f.StringSliceVar(&o.TLSKey, "tls-key", nil, "File with the PEM key of the --tls-cert at the same position; repeatable.")
	o.TLSMin = "1.2"
	f.Var(flags.OneOf(&o.TLSMin, "1.2", "1.3"), "tls-min", "Lowest TLS version: 1.2 or 1.3.")
	f.StringVar(&o.ACME.Email, "acme-email", "", "Email address for the CA.")
	f.StringVar(&o.ACME.Directory, "acme-directory", "", "URL of the CA's directory; Let's Encrypt if empty.")
	f.StringVar(&o.ACME.CAFile, "acme-ca", "", "File with the PEM certificates that the CA's server is verified with; the system's if empty.")
	f.StringVar(&o.ACME.CacheDir, "acme-cache", "var/acme", "Directory for the ACME account and the certificates.")
	f.StringVar(&o.ACME.EABKeyID, "acme-eab-kid", "", "Key ID of an external account binding.")
	f.StringVar(&o.ACME.EABKeyFile, "acme-eab-key-file", "", "File with the base64url key of --acme-eab-kid.")
}

func (o *options) limitFlags(f *pflag.FlagSet) {
	f.TextVar(&o.MaxBytes, "max-bytes", limit.Size(256<<10), "Largest request body, in bytes.")
	o.TTL, o.TTLMax = 168*time.Hour, 168*time.Hour
	f.Var(flags.Duration(&o.TTL), "ttl", "Lifetime of a message without a ttl, such as 90s, 12h or 7d; at most --ttl-max.")
	f.Var(flags.Duration(&o.TTLMax), "ttl-max", "Longest lifetime of a message.")
	f.TextVar(&o.Rates[limit.Create], "limit-create", rate("1/s:30"), "Limit of the messages that one client creates: RATE/UNIT:BURST with the unit s, m, h or d, or off.")
	f.TextVar(&o.Rates[limit.TokenCreate], "limit-token-create", rate("off"), "Limit of the messages created with one token of --create-token-file, which then do not count for --limit-create.")
	f.TextVar(&o.Rates[limit.Read], "limit-read", rate("50/s:100"), "Limit of the reads of one client.")
	f.TextVar(&o.Rates[limit.Miss], "limit-miss", rate("12/m:30"), "Limit of the reads of one client that find no message. Over it, all its reads are refused.")
	f.TextVar(&o.Rates[limit.Bytes], "limit-bytes", rate("256KiB/h:8MiB"), "Limit of the bytes that one client stores. A message counts as its text and 512 bytes.")
	f.TextVar(&o.Rates[limit.ReadBytes], "limit-read-bytes", rate("1MiB/s:16MiB"), "Limit of the bytes of messages that one client reads.")
	f.IntVar(&o.LimitIPv4Prefix, "limit-ipv4-prefix", 32, "Bits of an IPv4 address that identify a client.")
	f.IntVar(&o.LimitIPv6Prefix, "limit-ipv6-prefix", 64, "Bits of an IPv6 address that identify a client.")
	f.IntVar(&o.LimitClients, "limit-clients", 65536, "Clients tracked at once, each in up to 650 bytes. Further clients share one budget.")
	o.LimitScope = "local"
	f.Var(flags.OneOf(&o.LimitScope, "local", "shared"), "limit-scope", "Scope of the limits: local (each process has its own) or shared (all replicas share one, kept in Redis).")
	f.IntVar(&o.Conns, "conns", 8192, "Open connections on each public address, at most.")
	f.IntVar(&o.ConnsPerClient, "conns-per-client", 64, "Open connections of one client on each public address, at most; 0 for no limit.")
	f.TextVar(&o.Rates[limit.Handshake], "handshakes-per-client", rate("20/s:60"), "Limit of the new connections of one client.")
	f.IntVar(&o.InFlight, "in-flight", 512, "Requests processed at once, at most. Further ones get a 503.")
}

func (o *options) logFlags(f *pflag.FlagSet) {
	f.StringVar(&o.LogDir, "log-dir", "", "Directory for messaging_api.log, which is renamed at midnight to messaging_api.log.yymmdd. Without it, the log is only on stdout.")
	f.IntVar(&o.LogDays, "log-days", 400, "Days that a rotated log is kept; 0 means forever.")
	o.LogClient = "prefix"
	f.Var(flags.OneOf(&o.LogClient, "prefix", "whole", "none"), "log-client", "Part of a client's address in the log: prefix (24 bits of IPv4, 48 of IPv6), whole, or none.")
	o.LogLevel = "info"
	f.Var(flags.OneOf(&o.LogLevel, "debug", "info", "warn", "error"), "log-level", "Lowest level that is logged: debug, info, warn or error.")
	o.Drain = 15 * time.Second
	f.Var(flags.Duration(&o.Drain), "drain", "Longest time that a stop waits for requests in flight.")
}

// rate parses a default above.
func rate(text string) limit.Rate {
	r, err := limit.ParseRate(text)
	if err != nil {
		panic(err)
	}
	return r
}

// prefixes is a repeatable flag of address ranges.
type prefixes []netip.Prefix

func (p *prefixes) String() string {
	texts := make([]string, len(*p))
	for i, prefix := range *p {
		texts[i] = prefix.String()
	}
	return strings.Join(texts, ",")
}

func (p *prefixes) Type() string { return "CIDR" }

// Set implements [pflag.Value].
func (p *prefixes) Set(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		one = strings.TrimSpace(one)
		prefix, err := netip.ParsePrefix(one)
		if addr, addrErr := netip.ParseAddr(one); addrErr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("%q must be an address or a range, such as 10.0.0.1 or 10.0.0.0/8", one)
		}
		// Clients' addresses are unmapped, which a mapped prefix would never contain.
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		*p = append(*p, prefix.Masked())
	}
	return nil
}

// The commands: the name, the operand if it takes one, and what it does.
var commands = [][3]string{
	{"serve", "", "Serve (the default command)."},
	{"health", "", "Ask a running service whether it is ready; exit 0 or 1."},
	{"check", "", "Validate the configuration and the files that it names, and try the store; nothing listens."},
	{"backup", "FILE", "Copy the embedded store of a running service to a new file: backup FILE."},
	{"takedown", "LINK", "Remove a message from a running service: takedown LINK."},
	{"version", "", "Print the version."},
	{"help", "", "Print this."},
}

const envPrefix = "MESSAGING_API_"

// parse reads the command line and the environment; flags win. It returns no options if
// it has printed the help. Every error is a usageError.
func parse(args, env []string, stdout io.Writer) (*options, string, error) {
	o := new(options)
	set := o.flags()
	showVersion := set.Bool("version", false, "")
	set.Lookup("version").Hidden = true
	err := set.Parse(args)
	if errors.Is(err, pflag.ErrHelp) || err == nil && set.Arg(0) == "help" {
		return nil, "", printHelp(stdout, set)
	}
	if err != nil {
		return nil, "", usageError{flags.Explain(err)}
	}
	command, err := o.command(set.Args())
	if *showVersion {
		command = "version"
	}
	if err == nil {
		err = flags.Environment(set, envPrefix, env)
	}
	if err == nil && set.Changed("host") && len(o.Host) == 0 {
		err = errors.New("--host: is empty, which would let any name in")
	}
	if !set.Changed("ttl") {
		o.TTL = min(o.TTL, o.TTLMax)
	}
	if err == nil {
		err = o.validate()
	}
	if err != nil {
		return nil, "", usageError{flags.OneLine(err)}
	}
	o.settings = settings(set)
	return o, command, nil
}

// command returns the first of the words that are not flags, or the default command. It
// keeps the operand of a command that takes one.
func (o *options) command(words []string) (string, error) {
	if len(words) == 0 {
		return commands[0][0], nil
	}
	var known []string
	for _, c := range commands {
		name, operand := c[0], c[1]
		known = append(known, name)
		switch {
		case name != words[0]:
		case operand == "" && len(words) == 1:
			return name, nil
		case operand != "" && len(words) == 2 && words[1] != "":
			o.operand = words[1]
			return name, nil
		case operand != "":
			return "", fmt.Errorf("%s: needs one argument: messaging_api %[1]s %s", name, operand)
		}
	}
	word, hint := words[len(words)-1], ""
	if strings.ContainsAny(word, "/.:") {
		hint = "; put the flag before a file or an address: --tls-cert " + word
	}
	return "", fmt.Errorf("unexpected argument %q%s; the commands are %s", word, hint, strings.Join(known, ", "))
}

// printHelp prints the commands and the flags.
func printHelp(w io.Writer, set *pflag.FlagSet) error {
	var b strings.Builder
	b.WriteString("Usage: messaging_api [COMMAND] [FLAGS]\n\nHand a text to someone by a link that cannot be guessed.\n\nCommands:\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-9s %s\n", c[0], c[2])
	}
	b.WriteString("\nFlags, each with its default and its environment variable:\n")
	b.WriteString(flags.Describe(set, envPrefix))
	_, err := io.WriteString(w, b.String())
	return err
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
