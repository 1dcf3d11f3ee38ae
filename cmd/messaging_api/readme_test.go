package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// flagModel is the program's flags as --help sees them.
func flagModel(t *testing.T) []*kong.Flag {
	t.Helper()
	parser, err := kong.New(new(options))
	if err != nil {
		t.Fatal(err)
	}
	var flags []*kong.Flag
	for _, flag := range parser.Model.Flags {
		if flag.Name != "help" {
			flags = append(flags, flag)
		}
	}
	return flags
}

// The README's table is made of what --help says, word for word.
func TestReadmeTable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	for _, flag := range flagModel(t) {
		fallback := "none"
		if flag.HasDefault {
			fallback = "`" + flag.Default + "`"
		}
		fmt.Fprintf(&want, "| `--%s` | %s | %s |\n", flag.Name, fallback, flag.Help)
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
	for _, flag := range flagModel(t) {
		fallback := "default none"
		if flag.HasDefault {
			fallback = "default " + flag.Default
		}
		for _, want := range []string{"--" + flag.Name, fallback + "; " + variable(flag.Name) + "]"} {
			if !strings.Contains(text, want) {
				t.Errorf("--help does not show %q", want)
			}
		}
	}
}
