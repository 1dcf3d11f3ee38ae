package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"messaging_api/internal/flags"
	"messaging_api/internal/limit"
)

// options are the flags, as they were given. What each means stands where it is
// defined, below.
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

	TLS            string
	TLSCert        []string
	TLSKey         []string
	TLSMin         string
	ACMEEmail      string
	ACMEDirectory  string
	ACMECA         string
	ACMECache      string
	ACMEEABKid     string
	ACMEEABKeyFile string

	MaxBytes            limit.Size
	TTL                 time.Duration
	TTLMax              time.Duration
	LimitCreate         limit.Rate
	LimitRead           limit.Rate
	LimitMiss           limit.Rate
	LimitBytes          limit.ByteRate
	LimitReadBytes      limit.ByteRate
	LimitIPv4Prefix     int
	LimitIPv6Prefix     int
	LimitClients        int
	LimitScope          string
	Conns               int
	ConnsPerClient      int
	HandshakesPerClient limit.Rate
	InFlight            int

	LogDir    string
	LogDays   int
	LogClient string
	LogLevel  slog.Level
	Drain     time.Duration

	backupFile string // of the command backup

	settings []slog.Attr // what all of that comes to, for the log
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
	f.StringSliceVar(&o.Host, "host", nil, "A name that the service answers to; repeatable. Others get a 421. None: any.")
	f.StringVar(&o.PublicURL, "public-url", "", "What links begin with, https://HOST[:PORT][/PREFIX], where a proxy changes it; implies --host HOST.")
	f.BoolVar(&o.Page, "page", true, "Answer browsers with a page to write and read messages; without it the service is an API alone.")
	f.Var(&o.TrustedProxy, "trusted-proxy", "Address or range (10.0.0.0/8) of proxies whose X-Forwarded-For is believed; repeatable. With --tls off, a --listen that is not loopback needs it.")
}

func (o *options) storeFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Store, "store", "file:var/messages.db", "Where messages are kept: file:PATH (embedded), redis:// or rediss:// URLs; with ?addr=HOST:PORT a Cluster, with ?master_name=NAME a Sentinel.")
	f.StringVar(&o.RedisPasswordFile, "redis-password-file", "", "File with the password of the Redis user.")
	f.StringVar(&o.RedisCA, "redis-ca", "", "PEM certificates that sign Redis's own, for rediss://.")
	f.StringVar(&o.RedisCert, "redis-cert", "", "PEM chain to show to Redis, for rediss://.")
	f.StringVar(&o.RedisKey, "redis-key", "", "PEM key of --redis-cert.")
}

func (o *options) tlsFlags(f *pflag.FlagSet) {
	o.TLS = "self-signed"
	f.Var(flags.OneOf(&o.TLS, "self-signed", "files", "acme", "off"), "tls", "Where the certificate comes from: self-signed (in memory, for development), files, acme (ordered for each --host), or off (a proxy terminates TLS).")
	f.StringSliceVar(&o.TLSCert, "tls-cert", nil, "PEM chain for --tls files; repeatable, in pairs with --tls-key.")
	f.StringSliceVar(&o.TLSKey, "tls-key", nil, "PEM key of the --tls-cert in the same place.")
	o.TLSMin = "1.2"
	f.Var(flags.OneOf(&o.TLSMin, "1.2", "1.3"), "tls-min", "Lowest TLS version: 1.2 or 1.3.")
	f.StringVar(&o.ACMEEmail, "acme-email", "", "Where the CA may write to.")
	f.StringVar(&o.ACMEDirectory, "acme-directory", "", "The CA's directory; Let's Encrypt when empty.")
	f.StringVar(&o.ACMECA, "acme-ca", "", "PEM certificates that sign the CA's own server; the system's when empty.")
	f.StringVar(&o.ACMECache, "acme-cache", "var/acme", "Where the account and the certificates outlive a restart.")
	f.StringVar(&o.ACMEEABKid, "acme-eab-kid", "", "Key ID of an external account binding.")
	f.StringVar(&o.ACMEEABKeyFile, "acme-eab-key-file", "", "File with the base64url key of --acme-eab-kid.")
}

func (o *options) limitFlags(f *pflag.FlagSet) {
	f.TextVar(&o.MaxBytes, "max-bytes", limit.Size(256<<10), "Largest request body.")
	o.TTL, o.TTLMax = 168*time.Hour, 168*time.Hour
	f.Var(flags.Duration(&o.TTL), "ttl", "Lifetime of a message that names none, such as 90s, 12h or 7d; not more than --ttl-max.")
	f.Var(flags.Duration(&o.TTLMax), "ttl-max", "Longest lifetime.")
	f.TextVar(&o.LimitCreate, "limit-create", rate("1/s:30"), "Messages that one client may create: RATE/UNIT:BURST with the unit s, m, h or d, or off.")
	f.TextVar(&o.LimitRead, "limit-read", rate("50/s:100"), "Reads of one client.")
	f.TextVar(&o.LimitMiss, "limit-miss", rate("12/m:30"), "Reads of one client that find nothing. Once they are spent, all its reads are refused.")
	f.TextVar(&o.LimitBytes, "limit-bytes", byteRate("256KiB/h:8MiB"), "Bytes that one client may store: each message counts as its text and 512 bytes.")
	f.TextVar(&o.LimitReadBytes, "limit-read-bytes", byteRate("1MiB/s:16MiB"), "Bytes of the messages that one client may read.")
	f.IntVar(&o.LimitIPv4Prefix, "limit-ipv4-prefix", 32, "How much of an IPv4 address is one client.")
	f.IntVar(&o.LimitIPv6Prefix, "limit-ipv6-prefix", 64, "How much of an IPv6 address is one client.")
	f.IntVar(&o.LimitClients, "limit-clients", 65536, "Clients tracked at once, in up to 650 bytes each. Further ones share their budgets.")
	o.LimitScope = "local"
	f.Var(flags.OneOf(&o.LimitScope, "local", "shared"), "limit-scope", "Whose budget it is: local (this process's) or shared (one for all replicas, kept in Redis).")
	f.IntVar(&o.Conns, "conns", 8192, "Connections open at once, on each public address.")
	f.IntVar(&o.ConnsPerClient, "conns-per-client", 64, "Connections of one client open at once, on each public address; 0 for no limit.")
	f.TextVar(&o.HandshakesPerClient, "handshakes-per-client", rate("20/s:60"), "New connections of one client.")
	f.IntVar(&o.InFlight, "in-flight", 512, "Requests worked on at once; beyond it 503.")
}

func (o *options) logFlags(f *pflag.FlagSet) {
	f.StringVar(&o.LogDir, "log-dir", "", "Directory for messaging_api.log, kept each midnight as messaging_api.log.yymmdd; none: stdout only.")
	f.IntVar(&o.LogDays, "log-days", 400, "Days that a rotated log is kept; 0 for ever.")
	o.LogClient = "prefix"
	f.Var(flags.OneOf(&o.LogClient, "prefix", "whole", "none"), "log-client", "How much of a client's address log lines show: prefix (24 bits of IPv4, 48 of IPv6), whole, or none.")
	f.Var((*level)(&o.LogLevel), "log-level", "Least level that is logged: debug, info, warn or error.")
	o.Drain = 15 * time.Second
	f.Var(flags.Duration(&o.Drain), "drain", "How long a stop waits for requests in flight.")
}

// rate and byteRate read the defaults above.
func rate(text string) limit.Rate         { return must(limit.ParseRate(text)) }
func byteRate(text string) limit.ByteRate { return must(limit.ParseByteRate(text)) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err) // a mistake in a default
	}
	return value
}

// level is a flag of a level of slog.
type level slog.Level

func (l *level) String() string { return slog.Level(*l).String() }
func (l *level) Type() string   { return "level" }

// Set implements [pflag.Value].
func (l *level) Set(s string) error {
	if (*slog.Level)(l).UnmarshalText([]byte(s)) != nil {
		return errors.New("must be debug, info, warn or error")
	}
	return nil
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
		*p = append(*p, prefix)
	}
	return nil
}

// The commands, and what each does.
var commands = [][2]string{
	{"serve", "Serve (the default command)."},
	{"health", "Ask a running service whether it is ready; exit 0 or 1."},
	{"check", "Validate the configuration and the files that it names, and try the store; nothing listens."},
	{"backup", "Copy the embedded store of a running service to a new file: backup FILE."},
	{"version", "Print the version."},
	{"help", "Print this."},
}

const envPrefix = "MESSAGING_API_"

// parse reads the command line and the environment, where flags win. It returns
// no options if help was asked for and printed. Every error is a usageError.
func parse(args, env []string, stdout io.Writer) (*options, string, error) {
	o := new(options)
	set := o.flags()
	help := set.BoolP("help", "h", false, "")
	showVersion := set.Bool("version", false, "")
	for _, hidden := range []string{"help", "version"} {
		set.Lookup(hidden).Hidden = true
	}
	if err := set.Parse(args); err != nil {
		return nil, "", usageError{flags.Explain(err)}
	}
	command, err := o.command(set.Args())
	switch {
	case *help || command == "help":
		return nil, "", printHelp(stdout, set)
	case err == nil && *showVersion:
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

// command is the first word that is not a flag, if there is one. Only backup takes
// another one.
func (o *options) command(words []string) (string, error) {
	if len(words) == 0 {
		return commands[0][0], nil
	}
	known := make([]string, len(commands))
	for i, c := range commands {
		known[i] = c[0]
	}
	if words[0] == "backup" {
		if len(words) != 2 || words[1] == "" {
			return "", errors.New("backup: needs the name of a new file: messaging_api backup FILE")
		}
		o.backupFile = words[1]
		return words[0], nil
	}
	if len(words) > 1 || !slices.Contains(known, words[0]) {
		word := words[len(words)-1]
		hint := ""
		if strings.ContainsAny(word, "/.:") {
			hint = "; a file or an address needs its flag in front, such as --tls-cert " + word
		}
		return "", fmt.Errorf("unexpected argument %q%s; the commands are %s", word, hint, strings.Join(known, ", "))
	}
	return words[0], nil
}

// printHelp shows the commands and every flag, its default and its variable.
func printHelp(w io.Writer, set *pflag.FlagSet) error {
	var b strings.Builder
	b.WriteString("Usage: messaging_api [COMMAND] [FLAGS]\n\nHand on a text by a link that cannot be guessed.\n\nCommands:\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-9s %s\n", c[0], c[1])
	}
	b.WriteString("\nFlags, each with its default and its environment variable:\n")
	b.WriteString(flags.Describe(set, envPrefix))
	_, err := io.WriteString(w, b.String())
	return err
}
