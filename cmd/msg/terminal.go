package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
	"rsc.io/qr"

	"messaging_api/internal/link"
)

func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// checkOut refuses a standard output that loses what is written to it. Go opens
// the null device where a shell has closed it.
func (s stdio) checkOut() error {
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return nil //nolint:nilerr // a system without a null device
	}
	if out, err := s.out.Stat(); err == nil && !os.SameFile(null, out) {
		return nil
	}
	return failf(exitUsage, "standard output is closed, or is %s: nothing was done", os.DevNull)
}

// warn says something to the person, on standard error.
func (s stdio) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(s.err, "msg: "+format+"\n", args...)
}

// endOfInput is what ends standard input on a terminal.
func endOfInput() string {
	if runtime.GOOS == "windows" {
		return "Ctrl-Z and Enter"
	}
	return "Ctrl-D"
}

// target returns the link that a command is about: its operand or else a line of
// standard input, where the process list does not show it.
func target(ctx context.Context, operands []string, std stdio) (link.Link, error) {
	if len(operands) == 0 || operands[0] == "-" {
		if terminal(std.in) {
			std.warn("paste the link:")
		}
		line, err := await(ctx, func() (string, error) { return firstLine(std.in) })
		if err != nil {
			return link.Link{}, err
		}
		operands = []string{line}
	}
	l, err := link.Parse(operands[0])
	if err != nil {
		return link.Link{}, failure{exitUsage, err}
	}
	return l, nil
}

// firstLine returns the first line that is not blank.
func firstLine(r io.Reader) (string, error) {
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			return line, nil
		}
	}
	if err := scanner.Err(); err != nil {
		return "", failf(exitUsage, "standard input: %w", err)
	}
	return "", failf(exitUsage, "no link: give one as an operand or on standard input")
}

// askPassphrase reads a line from the terminal without echo, whatever standard
// input is.
func askPassphrase(ctx context.Context, std stdio, prompt string) (string, error) {
	name, prompts := "/dev/tty", std.err
	if runtime.GOOS == "windows" {
		name = "CONIN$"
	}
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	switch {
	case err == nil:
		defer func() { _ = tty.Close() }()
		if runtime.GOOS != "windows" { // where it is only for reading
			prompts = tty
		}
	case terminal(std.in):
		tty = std.in
	default:
		return "", failf(exitUsage, "there is no terminal to ask for the passphrase: use --passphrase-file")
	}
	_, _ = fmt.Fprint(prompts, prompt)
	defer func() { _, _ = fmt.Fprintln(prompts) }()
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("the terminal: %w", err)
	}
	line, err := await(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		_ = term.Restore(fd, before) // the echo must come back
		return "", err
	}
	if err == nil {
		err = link.CheckPassphrase(string(line))
	}
	if err != nil {
		return "", failf(exitUsage, "the passphrase was not read: %w", err)
	}
	return string(line), nil
}

// passphraseFromFile reads a passphrase, but for one newline at its end.
func (o *options) passphraseFromFile(ctx context.Context, std stdio) (string, error) {
	const longest = 64 << 10
	in := std.in
	if o.PassphraseFile != "-" {
		file, err := os.Open(o.PassphraseFile)
		if err != nil {
			return "", failf(exitUsage, "--passphrase-file: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, longest+1)) })
	if ctx.Err() != nil {
		return "", err
	}
	if err == nil && len(text) > longest {
		err = errors.New("it is over 64 KiB")
	}
	passphrase, newline := strings.CutSuffix(string(text), "\n")
	if newline {
		passphrase = strings.TrimSuffix(passphrase, "\r")
	}
	if err == nil {
		err = link.CheckPassphrase(passphrase)
	}
	if err != nil {
		return "", failf(exitUsage, "--passphrase-file: %w", err)
	}
	return passphrase, nil
}

// drawQR draws a QR code in half blocks, dark on light whatever the terminal's
// colors are.
func drawQR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return err
	}
	const quiet = 4 // light modules around the code
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;47m")
		for x := -quiet; x < code.Size+quiet; x++ {
			switch top, bottom := code.Black(x, y), code.Black(x, y+1); {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}
