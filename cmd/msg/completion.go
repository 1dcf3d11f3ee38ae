package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// completion prints a script that completes commands and flags.
func completion(operands []string, w io.Writer) error {
	if len(operands) != 1 {
		return failf(exitUsage, "name a shell: bash, zsh or fish")
	}
	var text string
	switch operands[0] {
	case "bash":
		text = bashCompletion()
	case "zsh":
		text = "#compdef msg\nautoload -U +X bashcompinit && bashcompinit\n" + bashCompletion()
	case "fish":
		text = fishCompletion()
	default:
		return failf(exitUsage, "%q is not one of bash, zsh and fish", operands[0])
	}
	_, err := io.WriteString(w, text)
	return err
}

// flagsOf returns the flags of a command, with their descriptions.
func flagsOf(c command) (flags []*pflag.Flag) {
	newOptions().flagSet(c).VisitAll(func(f *pflag.Flag) { flags = append(flags, f) })
	return flags
}

func bashCompletion() string {
	var b strings.Builder
	fmt.Fprintf(&b, `_msg() {
  local word=${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W %q -- "$word"))
    return
  fi
  local flags
  case ${COMP_WORDS[1]} in
`, strings.Join(commandNames(), " "))
	for _, c := range commands() {
		if c.name == "completion" {
			b.WriteString("    completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\")); return ;;\n")
			continue
		}
		var names []string
		for _, f := range flagsOf(c) {
			names = append(names, "--"+f.Name)
		}
		fmt.Fprintf(&b, "    %s) flags=%q ;;\n", c.name, strings.Join(names, " "))
	}
	b.WriteString(`  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -F _msg msg
`)
	return b.String()
}

func fishCompletion() string {
	var b strings.Builder
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c msg -f -n __fish_use_subcommand -a %s -d %q\n", c.name, c.what)
		for _, f := range flagsOf(c) {
			fmt.Fprintf(&b, "complete -c msg -n '__fish_seen_subcommand_from %s' -l %s -d %q\n", c.name, f.Name, f.Usage)
		}
	}
	b.WriteString("complete -c msg -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n")
	return b.String()
}
