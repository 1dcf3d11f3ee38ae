package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"messaging_api/internal/flags"
)

// flagModel is the program's flags as --help sees them.
func flagModel() []*pflag.Flag {
	var all []*pflag.Flag
	new(options).flags().VisitAll(func(flag *pflag.Flag) { all = append(all, flag) })
	return all
}

// The README's table is made of what --help says, word for word.
func TestReadmeTable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	for _, flag := range flagModel() {
		value := flags.Default(flag)
		if value != "none" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&want, "| `--%s` | %s | %s |\n", flag.Name, value, flag.Usage)
	}
	if !strings.Contains(string(readme), want.String()) {
		t.Errorf("README.md does not hold this table:\n%s", want.String())
	}
}

// --help shows every flag, its default and its variable.
func TestHelpShowsEverything(t *testing.T) {
	var out bytes.Buffer
	o, _, err := parse([]string{"--help"}, nil, &out)
	if err != nil || o != nil {
		t.Fatalf("parse(--help): got %v, %v", o, err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, flag := range flagModel() {
		for _, want := range []string{"--" + flag.Name, "default " + flags.Default(flag) + "; " + flags.Variable(envPrefix, flag.Name) + "]"} {
			if !strings.Contains(text, want) {
				t.Errorf("--help does not show %q", want)
			}
		}
	}
}
