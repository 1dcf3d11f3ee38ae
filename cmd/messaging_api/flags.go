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

	"github.com/alecthomas/kong"

	"messaging_api/internal/limit"
)

// options are the flags, as they were given. The tags are the manual.
type options struct {
	Listen     string   `default:":8443" placeholder:"ADDRESS" help:"Public HTTPS address, [HOST]:PORT."`
	ListenHTTP string   `name:"listen-http" placeholder:"ADDRESS" help:"Plain HTTP address, for ACME challenges and redirects to https; off when empty."`
	ListenOps  string   `default:"127.0.0.1:8081" placeholder:"ADDRESS" help:"Health address, plain HTTP; never public."`
	Host       []string `placeholder:"NAME" help:"A name that the service answers to; repeatable. Others get a 421. None: any."`

	Store             string `default:"file:var/messages.db" placeholder:"URL" help:"Where messages are kept: file:PATH (embedded), redis:// or rediss:// URLs; with ?addr=HOST:PORT a Cluster, with ?master_name=NAME a Sentinel."`
	RedisPasswordFile string `placeholder:"FILE" help:"File with the password of the Redis user."`
	RedisCA           string `name:"redis-ca" placeholder:"FILE" help:"PEM certificates that sign Redis's own, for rediss://."`
	RedisCert         string `placeholder:"FILE" help:"PEM chain to show to Redis, for rediss://."`
	RedisKey          string `placeholder:"FILE" help:"PEM key of --redis-cert."`

	TLS     string   `name:"tls" default:"self-signed" enum:"self-signed,files,acme,off" placeholder:"SOURCE" help:"Where the certificate comes from: self-signed (in memory, for development), files, acme (ordered for each --host), or off (a proxy terminates TLS)."`
	TLSCert []string `name:"tls-cert" placeholder:"FILE" help:"PEM chain for --tls files; repeatable, in pairs with --tls-key."`
	TLSKey  []string `name:"tls-key" placeholder:"FILE" help:"PEM key of the --tls-cert in the same place."`
	TLSMin  string   `name:"tls-min" default:"1.2" enum:"1.2,1.3" placeholder:"VERSION" help:"Lowest TLS version: 1.2 or 1.3."`

	ACMEEmail      string `name:"acme-email" placeholder:"ADDRESS" help:"Where the CA may write to."`
	ACMEDirectory  string `name:"acme-directory" placeholder:"URL" help:"The CA's directory; Let's Encrypt when empty."`
	ACMECA         string `name:"acme-ca" placeholder:"FILE" help:"PEM certificates that sign the CA's own server; the system's when empty."`
	ACMECache      string `name:"acme-cache" default:"var/acme" placeholder:"DIR" help:"Where the account and the certificates outlive a restart."`
	ACMEEABKid     string `name:"acme-eab-kid" placeholder:"ID" help:"Key ID of an external account binding."`
	ACMEEABKeyFile string `name:"acme-eab-key-file" placeholder:"FILE" help:"File with the base64url key of --acme-eab-kid."`

	MaxBytes limit.Size    `default:"256KiB" placeholder:"SIZE" help:"Largest request body."`
	TTL      time.Duration `name:"ttl" default:"168h" placeholder:"DURATION" help:"Lifetime of a message that names none."`
	TTLMax   time.Duration `name:"ttl-max" default:"168h" placeholder:"DURATION" help:"Longest lifetime."`

	LimitCreate     limit.Rate     `default:"1/s:30" placeholder:"RATE" help:"Messages that one client may create: RATE/UNIT:BURST with the unit s, m, h or d, or off."`
	LimitRead       limit.Rate     `default:"50/s:100" placeholder:"RATE" help:"Reads of one client."`
	LimitMiss       limit.Rate     `default:"12/m:30" placeholder:"RATE" help:"Reads of one client that find nothing; when they are spent, all its reads wait."`
	LimitBytes      limit.ByteRate `default:"64KiB/s:4MiB" placeholder:"RATE" help:"Bytes of the messages that one client may create."`
	LimitIPv4Prefix int            `name:"limit-ipv4-prefix" default:"32" placeholder:"BITS" help:"How much of an IPv4 address is one client."`
	LimitIPv6Prefix int            `name:"limit-ipv6-prefix" default:"64" placeholder:"BITS" help:"How much of an IPv6 address is one client."`
	LimitClients    int            `default:"262144" placeholder:"NUMBER" help:"Clients tracked at once; memory is bounded by it."`

	LimitScope string `default:"local" enum:"local,shared" placeholder:"SCOPE" help:"Whose budget it is: local (this process's) or shared (one for all replicas, kept in Redis)."`

	Conns               int        `default:"8192" placeholder:"NUMBER" help:"Connections open at once."`
	ConnsPerClient      int        `default:"64" placeholder:"NUMBER" help:"Connections of one client open at once; 0 for no limit."`
	HandshakesPerClient limit.Rate `default:"20/s:60" placeholder:"RATE" help:"New connections of one client."`
	InFlight            int        `default:"512" placeholder:"NUMBER" help:"Requests worked on at once; beyond it 503."`

	TrustedProxy []netip.Prefix `placeholder:"CIDR" help:"Addresses of proxies whose X-Forwarded-For is believed; repeatable. With --tls off, what allows a --listen that is not loopback."`

	LogDir   string        `placeholder:"DIR" help:"Directory for messaging_api.log, kept each midnight as messaging_api.log.yymmdd; none: stdout only."`
	LogDays  int           `default:"400" placeholder:"DAYS" help:"Days that a rotated log is kept; 0 for ever."`
	LogLevel slog.Level    `default:"info" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn or error."`
	Drain    time.Duration `default:"15s" placeholder:"DURATION" help:"How long a stop waits for requests in flight."`

	Serve   struct{} `cmd:"" default:"withargs" help:"Serve (the default command)."`
	Health  struct{} `cmd:"" help:"Ask a running service whether it is ready; exit 0 or 1."`
	Check   struct{} `cmd:"" help:"Validate the configuration and the files that it names; nothing listens."`
	Version struct{} `cmd:"" help:"Print the version."`
}

const envPrefix = "MESSAGING_API_"

// parse reads the command line and the environment, where flags win. It returns
// no options where help was asked for and printed. Every error is a usageError.
func parse(args, env []string, stdout io.Writer) (*options, string, error) {
	o := new(options)
	values := environment(env)
	helped := false
	parser, err := kong.New(o,
		kong.Name("messaging_api"),
		kong.Description("Hand on a text by a link that cannot be guessed."),
		kong.Writers(stdout, io.Discard),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(helpWithVariable),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			if value, set := values[variable(flag.Name)]; set {
				return value, nil
			}
			return nil, nil
		})),
	)
	if err != nil {
		return nil, "", err // a mistake in the tags above
	}
	parsed, err := parser.Parse(args)
	switch {
	case helped:
		return nil, "", nil
	case err != nil:
		return nil, "", usageError{oneLine(err)}
	}
	if err := unknownVariable(parser.Model, values); err != nil {
		return nil, "", usageError{err}
	}
	if err := o.validate(); err != nil {
		return nil, "", usageError{err}
	}
	return o, parsed.Command(), nil
}

// variable is the environment's name for a flag.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environment returns our variables. An empty one counts as absent, so that a
// compose file can pass one on whether it is set or not.
func environment(env []string) map[string]string {
	values := make(map[string]string)
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && value != "" {
			values[name] = value
		}
	}
	return values
}

// unknownVariable finds a misspelt variable, which would otherwise be a setting
// that silently does nothing.
func unknownVariable(model *kong.Application, values map[string]string) error {
	known := make(map[string]bool)
	for _, flag := range model.Flags {
		known[variable(flag.Name)] = flag.Name != "help"
	}
	var unknown []string
	for name := range values {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("unknown variable %s; --help lists the known ones", strings.Join(unknown, ", "))
}

// helpWithVariable adds a flag's default and its variable to its help.
func helpWithVariable(value *kong.Value) string {
	if value.Flag == nil || value.Name == "help" {
		return value.Help
	}
	fallback := "none"
	if value.HasDefault {
		fallback = value.Default
	}
	return fmt.Sprintf("%s [default %s; %s]", value.Help, fallback, variable(value.Name))
}

// oneLine keeps an error to the one line that start-up promises.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}
