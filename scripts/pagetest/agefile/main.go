// Command agefile encrypts and decrypts with Go's age and the key of a link, for the tests
// of the page: agefile seal LINK, agefile open LINK, from standard input to output.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"messaging_api/internal/link"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "agefile:", err)
		os.Exit(1) //nolint:forbidigo // the one place
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: agefile seal|open LINK")
	}
	l, err := link.Parse(args[1])
	if err != nil {
		return err
	}
	if l.Key == nil || l.Key.Passphrase {
		return errors.New("the link has no key, or needs a passphrase")
	}
	keys, err := link.Derive(l.Key.Secret, "")
	if err != nil {
		return err
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var output []byte
	switch args[0] {
	case "seal":
		var file string
		file, err = link.Seal(input, keys.Identity)
		output = []byte(file)
	case "open":
		output, err = link.Open(string(input), keys.Identity)
	default:
		err = fmt.Errorf("%s is neither seal nor open", args[0])
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(output)
	return err
}
