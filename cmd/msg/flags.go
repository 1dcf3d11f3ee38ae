package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"messaging_api/internal/flags"
)

// options are the flags, as they were given.
type options struct {
	Server  string // empty, or ends in "/"
	CA      string
	Pin     string
	Timeout time.Duration
	Wait    time.Duration
	Token   string // with which messages are created; never a flag, which others could see
	JSON    bool

	Plain          bool
	TTL            time.Duration // 0: the service's default
	Reads          reads
	Passphrase     bool
	PassphraseFile string
	QR             bool

	Output string
	Force  bool
	Raw    bool

	// settings are the flags that can also come from the environment and from the
	// configuration file.
	settings *pflag.FlagSet
	config   string   // path of the configuration file; empty: none
	state    stateDir // of owner tokens and claims
}

// A command is one of the program's.
type command struct {
	name, operand, what string
	flags               func(*options, *pflag.FlagSet) // nil: none
}

func commands() []command {
	return []command{
		{"send", "[FILE]", "Store the text of a file or of standard input, and print its link.", (*options).sendFlags},
		{"read", "[LINK]", "Open a message and write its text.", (*options).readFlags},
		{"status", "[LINK]", "Tell whether a message was opened, without opening it.", (*options).serviceFlags},
		{"withdraw", "[LINK]", "Take back a message that was sent from here.", (*options).serviceFlags},
		{"key", "[LINK]", "Print the age identity of a link, to decrypt a saved message with any age tool.", (*options).keyFlags},
		{"completion", "bash|zsh|fish", "Print a completion script for a shell.", nil},
		{"version", "", "Print the version.", nil},
	}
}

func commandNames() (names []string) {
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// newOptions returns the defaults.
func newOptions() *options {
	o := &options{Timeout: 30 * time.Second, Wait: time.Minute, Reads: 1}
	f := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVar(&o.Server, "server", "", "URL of the service.")
	f.StringVar(&o.CA, "ca", "", "File with the PEM certificates to trust, instead of the system's.")
	f.StringVar(&o.Pin, "pin", "", "Public key to trust instead of any certificate, sha256//BASE64, as the service prints it at its start.")
	f.Var(flags.Duration(&o.Timeout), "timeout", "How long one request may take.")
	f.Var(flags.Duration(&o.Wait), "wait", "How long to wait in all for a service that is busy or over a limit.")
	f.StringVar(&o.Token, "token", "", "Token that the service wants from those who create messages.")
	o.settings = f
	return o
}

// serviceFlags are those of every command that asks a service.
func (o *options) serviceFlags(f *pflag.FlagSet) {
	o.settings.VisitAll(func(setting *pflag.Flag) {
		if setting.Name != "server" && setting.Name != "token" { // the link names the server
			f.AddFlag(setting)
		}
	})
	f.BoolVar(&o.JSON, "json", false, "Print JSON, for scripts.")
}

func (o *options) sendFlags(f *pflag.FlagSet) {
	f.AddFlag(o.settings.Lookup("server"))
	f.Var(flags.Duration(&o.TTL), "ttl", "How long the message lives, such as 90s, 12h or 7d; the service's default if not given.")
	f.Lookup("ttl").DefValue = ""
	f.Var(&o.Reads, "reads", "How often it can be opened, 1 to 100, or any.")
	f.BoolVar(&o.Plain, "plain", false, "Do not encrypt: the service can read the text.")
	f.BoolVar(&o.Passphrase, "passphrase", false, "Ask for a passphrase that the reader will need as well.")
	f.StringVar(&o.PassphraseFile, "passphrase-file", "", "File with the passphrase; - for standard input.")
	f.BoolVar(&o.QR, "qr", false, "Draw the link as a QR code on standard error.")
	o.serviceFlags(f)
}

func (o *options) readFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.Output, "output", "o", "", "File to write the text to; standard output if not given.")
	f.BoolVar(&o.Force, "force", false, "Replace the output file if it exists.")
	f.BoolVar(&o.Raw, "raw", false, "Write control characters to a terminal.")
	o.keyFlags(f)
	o.serviceFlags(f)
}

func (o *options) keyFlags(f *pflag.FlagSet) {
	f.StringVar(&o.PassphraseFile, "passphrase-file", "", "File with the passphrase; - for standard input. Without it the terminal is asked.")
}

// flagSet returns the flags of a command, with their defaults.
func (o *options) flagSet(c command) *pflag.FlagSet {
	f := pflag.NewFlagSet("msg "+c.name, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	if c.flags != nil {
		c.flags(o, f)
	}
	return f
}

// parse reads a command line, the environment and the configuration file. Where
// help was asked for it is written to out, and the options are nil.
func parse(args, env []string, out io.Writer) (o *options, name string, operands []string, err error) {
	names := strings.Join(commandNames(), ", ")
	switch {
	case len(args) == 0:
		return nil, "", nil, failf(exitUsage, "no command: one of %s; msg --help tells more", names)
	case slices.Contains([]string{"--help", "-h", "help"}, args[0]):
		return nil, "", nil, help(out)
	case args[0] == "--version":
		return new(options), "version", nil, nil
	}
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return nil, "", nil, failf(exitUsage, "%q is not a command: one of %s", args[0], names)
	}
	c := commands()[i]
	o = newOptions()
	o.config, o.state = configFile(env), stateDirectory(env)
	f := o.flagSet(c)
	switch err := f.Parse(args[1:]); {
	case errors.Is(err, pflag.ErrHelp):
		return nil, "", nil, commandHelp(out, c, f)
	case err != nil:
		return nil, "", nil, failure{exitUsage, flags.Explain(err)}
	}
	if err := o.complete(f, env); err != nil {
		return nil, "", nil, failure{exitUsage, err}
	}
	if err := o.check(c.name, f.Args()); err != nil {
		return nil, "", nil, failure{exitUsage, err}
	}
	return o, c.name, f.Args(), nil
}

// complete takes from the environment, and then from the configuration file, the
// settings that the command line leaves open.
func (o *options) complete(f *pflag.FlagSet, env []string) error {
	if f.Lookup("timeout") == nil {
		return nil // the command asks no service
	}
	server, token := o.settings.Lookup("server"), o.settings.Lookup("token")
	given, named := o.Server, server.Changed
	server.Changed = false // so that o.Server becomes the server that is configured
	if err := flags.Environment(o.settings, "MSG_", env); err != nil {
		return err
	}
	if server.Changed {
		token.Changed = true // a token in the file is for the server in the file
	}
	if err := readConfig(o.config, o.settings); err != nil {
		return err
	}
	if named && strings.TrimSuffix(given, "/") != strings.TrimSuffix(o.Server, "/") {
		o.Token = "" // it is for the configured server only
	}
	if named {
		o.Server = given
	}
	return nil
}

// check refuses what cannot have been meant.
func (o *options) check(name string, operands []string) error {
	standardInput := len(operands) == 0 || operands[0] == "-"
	switch {
	case name == "version" && len(operands) > 0:
		return errors.New("version takes no operand")
	case name != "completion" && len(operands) > 1:
		return fmt.Errorf("one operand, not %d; a text goes to standard input or into a file", len(operands))
	case o.Passphrase && o.PassphraseFile != "":
		return errors.New("--passphrase asks, and --passphrase-file reads: one of them")
	case o.Plain && (o.Passphrase || o.PassphraseFile != ""):
		return errors.New("--plain does not encrypt, so a passphrase has no use")
	case o.PassphraseFile == "-" && standardInput:
		return errors.New("the passphrase and the rest cannot both come from standard input: name a file, or give the link as an operand")
	case o.JSON && o.Output != "":
		return errors.New("--json writes to standard output, so --output has no use")
	case o.Force && o.Output == "":
		return errors.New("--force replaces the file that --output names")
	case o.TTL < 0 || o.TTL%time.Second != 0:
		return errors.New("--ttl must be in whole seconds")
	case o.Timeout < 0 || o.Wait < 0:
		return errors.New("--timeout and --wait must not be negative")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token has a character that no token has")
	case o.CA != "" && o.Pin != "":
		return errors.New("--pin trusts one key, whatever signs it, so --ca has no use: one of them")
	}
	return o.checkServer(name)
}

func (o *options) checkServer(name string) error {
	if o.Server == "" {
		if name == "send" {
			return fmt.Errorf("no service: name it with --server, MSG_SERVER or a line \"server = URL\" in %s", o.config)
		}
		return nil
	}
	u, err := url.Parse(o.Server)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" {
		return errors.New("--server must look like https://HOST[:PORT][/PREFIX]")
	}
	o.Server = strings.TrimSuffix(o.Server, "/") + "/"
	return nil
}

// help describes all commands and the exit codes.
func help(w io.Writer) error {
	var b strings.Builder
	b.WriteString("Usage: msg COMMAND [FLAGS] [OPERAND]\n\nHand a text to someone by a link, encrypted end to end.\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-25s %s\n", strings.TrimSpace(c.name+" "+c.operand), c.what)
	}
	b.WriteString(`
A link that is not given is read from standard input, where the process list
does not show it. "msg COMMAND --help" lists the flags of a command.

Settings: MSG_SERVER, MSG_CA, MSG_PIN, MSG_TIMEOUT and MSG_WAIT stand for the
flags of these names; so do lines like "server = https://msg.example" in
$XDG_CONFIG_HOME/msg/config (~/.config/msg/config). Proxies: HTTPS_PROXY.
A service may want a token from those who send: MSG_TOKEN, or a line
"token = TOKEN". It goes to the configured server only, not to another --server.

Exit codes: 0 done, 1 another error, 2 usage or a link that cannot be read,
3 gone or never there, 4 opened before or taken back, 5 wrong passphrase or
damaged, 6 not reachable or busy, 7 refused by a limit.
`)
	_, err := io.WriteString(w, b.String())
	return err
}

func commandHelp(w io.Writer, c command, f *pflag.FlagSet) error {
	usage := fmt.Sprintf("Usage: msg %s [FLAGS] %s", c.name, c.operand)
	if c.flags == nil {
		usage = "Usage: msg " + c.name + " " + c.operand
	}
	_, err := fmt.Fprintf(w, "%s\n\n%s\n\n%s", strings.TrimSpace(usage), c.what, f.FlagUsagesWrapped(80))
	return err
}

// reads is how often a message can be opened; 0 is any number of times.
type reads int

func (r *reads) String() string {
	if *r == 0 {
		return "any"
	}
	return strconv.Itoa(int(*r))
}

// Set implements [pflag.Value].
func (r *reads) Set(text string) error {
	if text == "any" {
		*r = 0
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		return errors.New("must be a number from 1 to 100, or any")
	}
	*r = reads(n)
	return nil
}

func (*reads) Type() string { return "N|any" }

func (r reads) describe() string {
	switch r {
	case 0:
		return "can be read any number of times"
	case 1:
		return "can be opened once"
	}
	return fmt.Sprintf("can be opened %d times", int(r))
}

// version is the module's version, or what the build says.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return info.Main.Version
}
