package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"messaging_api/internal/api"
	"messaging_api/internal/link"
)

// read opens a message and writes its text. All that can fail without the
// message is tried first. Once it is opened, a claim on disk lets the next run
// have the same text.
func (o *options) read(ctx context.Context, operands []string, std stdio) error {
	l, keys, err := o.unlock(ctx, operands, std)
	if err != nil {
		return err
	}
	c, err := o.newClient(l.Service, std)
	if err != nil {
		return err
	}
	out, err := o.openOutput(std)
	if err != nil {
		return err
	}
	defer out.discard()
	m, claim, err := o.fetch(ctx, c, l, keys)
	if err != nil {
		return err
	}
	again := "run the same command again"
	if claim != "" {
		again += " within 10 minutes: the message is still there for you"
	}
	text := []byte(m.Message)
	switch sealed := link.Sealed(m.Message); {
	case l.Key != nil && !sealed:
		return failf(exitDamaged, "the link has a key, but the message is not encrypted: the sender did not send it like this")
	case l.Key != nil:
		if text, err = link.Open(m.Message, keys.Identity); err != nil {
			return failf(exitDamaged, "%w", err)
		}
	case sealed:
		std.warn("the message is encrypted, and the link lacks its key: this is an age file")
	}
	if len(m.Opened) > 0 {
		std.warn("the message was opened before, on %s. If that was not you, tell the sender", locals(m.Opened))
	}
	if err := o.write(ctx, out, text, m, std); err != nil {
		return fmt.Errorf("%w. With that mended, %s", err, again)
	}
	if claim != "" {
		o.finish(ctx, c, l, claim, std)
	}
	return nil
}

// unlock reads the link, and asks for its passphrase before anything else.
func (o *options) unlock(ctx context.Context, operands []string, std stdio) (link.Link, link.Keys, error) {
	l, err := target(ctx, operands, std)
	needed := err == nil && l.Key != nil && l.Key.Passphrase
	switch {
	case err != nil:
		return l, link.Keys{}, err
	case !needed && o.PassphraseFile != "":
		return l, link.Keys{}, failf(exitUsage, "the link needs no passphrase, so --passphrase-file has no use")
	case l.Key == nil:
		return l, link.Keys{}, nil
	}
	var passphrase string
	switch {
	case needed && o.PassphraseFile != "":
		passphrase, err = o.passphraseFromFile(ctx, std)
	case needed:
		passphrase, err = askPassphrase(ctx, std, "Passphrase: ")
	}
	if err != nil {
		return l, link.Keys{}, err
	}
	keys, err := link.Derive(l.Key.Secret, passphrase)
	return l, keys, err
}

// path returns the path of a message below the service's root.
func path(l link.Link) string { return "msg/" + l.ID }

// fetch gets the message. A limited one is opened under a claim that is on disk
// before the service hears of it; the claim is empty for a message without a limit.
func (o *options) fetch(ctx context.Context, c *client, l link.Link, keys link.Keys) (m api.Message, claim string, err error) {
	kept, err := o.state.claim(l.ID)
	if err != nil {
		return m, "", err
	}
	if claim = kept; kept == "" {
		a, err := c.call(ctx, http.MethodGet, path(l), nil, "")
		if err == nil {
			err = a.decode(&m)
		}
		switch {
		case err != nil:
			return m, "", err
		case m.ReadsLeft == nil && m.Message == "":
			return m, "", a.foreign()
		case m.ReadsLeft == nil:
			return m, "", nil
		}
		if claim, err = o.state.newClaim(l.ID); err != nil {
			return m, "", fmt.Errorf("%w. The message was not opened, because a lost answer could not be asked for again", err)
		}
	}
	a, err := c.call(ctx, http.MethodPost, path(l), api.Opening{Proof: keys.Proof, Claim: claim}, "")
	switch {
	case err != nil:
		return m, "", fmt.Errorf("%w. Run the same command again within 10 minutes: if the message was opened, it is still there for you", err)
	case a.status == http.StatusForbidden && l.Key == nil:
		return m, "", failf(exitUsage, "the message is encrypted, and the link lacks its key, the part behind #. Ask the sender for the whole link; nothing was used up")
	case a.status == http.StatusGone && kept != "" && a.problem.WithdrawnAt == nil && a.problem.TakenDownAt == nil:
		return m, "", fmt.Errorf("%w. An earlier run here asked for it: that may have been the opening", a.refused())
	}
	m = api.Message{}
	if err := a.decode(&m); err != nil {
		return m, "", err
	}
	if m.Message == "" {
		return m, "", a.foreign()
	}
	return m, claim, nil
}

// write hands over the text, to the byte.
func (o *options) write(ctx context.Context, out *output, text []byte, m api.Message, std stdio) error {
	if o.JSON {
		var err error
		text, err = encodeJSON(struct {
			Message   string      `json:"message"`
			ReadsLeft *int        `json:"reads_left,omitempty"` // absent: any
			Opened    []time.Time `json:"opened,omitempty"`     // before this time
			ExpiresAt time.Time   `json:"expires_at"`
		}{string(text), m.ReadsLeft, m.Opened, m.ExpiresAt})
		if err != nil {
			return err
		}
	}
	if out.name == "" && terminal(std.out) && !o.Raw {
		if bytes.ContainsFunc(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), dangerous) {
			return failf(exitUsage, "the text has control characters, which could take over the terminal: use --raw or -o FILE")
		}
		if !bytes.HasSuffix(text, []byte("\n")) {
			defer func() { _, _ = fmt.Fprintln(std.err) }() // the shell's prompt begins on a line of its own
		}
	}
	_, err := await(ctx, func() (struct{}, error) { return struct{}{}, out.write(text) })
	return err
}

// finish tells that the text is here, and ends the claim, so that the service
// deletes the text now and not in some minutes.
func (o *options) finish(ctx context.Context, c *client, l link.Link, claim string, std stdio) {
	a, err := c.call(ctx, http.MethodDelete, path(l), nil, claim)
	if err == nil && a.status == http.StatusNoContent {
		err = o.state.endClaim(l.ID)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		std.warn("the text is complete; the service keeps it for up to 10 minutes more (%v)", err)
		return
	}
	std.warn("the text is complete")
}

// dangerous reports what a terminal takes for commands.
func dangerous(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }

// An output is where the text goes.
type output struct {
	file *os.File
	name string // of the file in the end; empty: standard output
	done bool
}

// openOutput makes the output before the message is opened: a text that cannot
// be written must not be used up.
func (o *options) openOutput(std stdio) (*output, error) {
	const unopened = ". The message was not opened"
	if o.Output == "" || o.Output == "-" {
		return &output{file: std.out}, std.checkOut()
	}
	w := &output{name: o.Output}
	var err error
	if info, lerr := os.Lstat(o.Output); lerr == nil && o.Force {
		if !info.Mode().IsRegular() {
			return nil, failf(exitUsage, "%s is not a regular file%s", o.Output, unopened)
		}
		w.file, err = os.CreateTemp(filepath.Dir(o.Output), ".msg-*") // 0600
	} else {
		w.file, err = os.OpenFile(o.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, failf(exitUsage, "%s exists; --force replaces it%s", o.Output, unopened)
	case err != nil:
		return nil, failf(exitUsage, "%w%s", err, unopened)
	}
	return w, nil
}

// write writes the text. A file that was there before is replaced only by a
// whole one.
func (w *output) write(text []byte) error {
	if _, err := w.file.Write(text); err != nil || w.name == "" {
		return err
	}
	err := errors.Join(w.file.Sync(), w.file.Close())
	if err == nil && w.file.Name() != w.name {
		err = os.Rename(w.file.Name(), w.name)
	}
	w.done = err == nil
	return err
}

// discard removes a file that was not finished.
func (w *output) discard() {
	if w.name != "" && !w.done {
		_ = w.file.Close()
		_ = os.Remove(w.file.Name())
	}
}
