package main

import (
	"bytes"
	"fmt"
	"regexp"
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

// docs/CONFIGURATION.md has a table of all flags, in the words of --help. The README has
// some of its rows.
func TestFlagTables(t *testing.T) {
	const head = "| flag | default | meaning |\n|---|---|---|\n"
	table := head
	for _, flag := range flagModel() {
		value := flags.Default(flag)
		if value != "none" {
			value = "`" + value + "`"
		}
		table += fmt.Sprintf("| `--%s` | %s | %s |\n", flag.Name, value, flag.Usage)
	}
	if !strings.Contains(document(t, "docs/CONFIGURATION.md"), table) {
		t.Errorf("docs/CONFIGURATION.md does not hold this table:\n%s", table)
	}
	rows := regexp.MustCompile("(?m)^\\| `--.*\n").FindAllString(document(t, "README.md"), -1)
	if len(rows) != 10 {
		t.Errorf("README.md shows %d flags, want 10", len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(table, row) {
			t.Errorf("README.md has this row, which is not in the table of all flags: %s", row)
		}
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
