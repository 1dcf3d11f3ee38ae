package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
	"unicode/utf8"

	"messaging_api/internal/api"
	"messaging_api/internal/link"
)

// maxText bounds what is read of a text, in bytes. The service says what it
// really takes.
const maxText = 64 << 20

// askFrom is the size of a request, in bytes, from which the service is asked how
// much it takes before anything is sent. Its default is larger.
const askFrom = 128 << 10

// send stores a text and prints its link.
func (o *options) send(ctx context.Context, operands []string, std stdio) error {
	if err := std.checkOut(); err != nil {
		return err
	}
	c, err := o.newClient(o.Server, std)
	if err != nil {
		return err
	}
	text, err := readText(ctx, operands, std)
	if err != nil {
		return err
	}
	passphrase, err := o.newPassphrase(ctx, std)
	if err != nil {
		return err
	}
	body := api.Creation{Message: string(text), TTL: int64(o.TTL / time.Second), Reads: int(o.Reads)}
	var key *link.Key
	if !o.Plain {
		key = &link.Key{Secret: link.NewSecret(), Passphrase: passphrase != ""}
		if err := seal(&body, key.Secret, passphrase); err != nil {
			return err
		}
	}
	if err := c.checkSize(ctx, body, len(text)); err != nil {
		return err
	}
	a, err := c.call(ctx, http.MethodPost, "", body, o.Token)
	if err != nil {
		return err
	}
	switch {
	case a.status == http.StatusUnauthorized && o.Token == "":
		return failf(exitUsage, "the service wants a token from those who send: set MSG_TOKEN beside MSG_SERVER, or write \"token = TOKEN\" beside the server in %s", o.config)
	case a.status == http.StatusUnauthorized:
		return failf(exitUsage, "the service does not know the token: it is wrong, or no longer valid")
	case a.status == http.StatusForbidden:
		return failf(exitOther, "the service takes no messages from this address")
	}
	var created api.Created
	if err := a.decode(&created); err != nil {
		return err
	}
	l, err := link.Parse(created.URL)
	if err != nil || l.Key != nil {
		return a.foreign()
	}
	l.Key = key
	if err := o.state.keepOwner(l.ID, created.OwnerToken, created.ExpiresAt); err != nil {
		std.warn("the message cannot be taken back from here later: %v", err)
	}
	return o.tellLink(l, created.ExpiresAt, std)
}

// seal replaces the text by its encryption for the holder of the secret.
func seal(body *api.Creation, secret link.Secret, passphrase string) error {
	keys, err := link.Derive(secret, passphrase)
	if err != nil {
		return failure{exitUsage, err}
	}
	if body.Message, err = link.Seal([]byte(body.Message), keys.Identity); err != nil {
		return err
	}
	if body.Reads > 0 {
		body.ProofHash = keys.ProofHash
	}
	return nil
}

// checkSize asks the service how much it takes, if the request may be more.
func (c *client) checkSize(ctx context.Context, body api.Creation, text int) error {
	content, err := encodeJSON(body)
	if err != nil || len(content) < askFrom {
		return err
	}
	a, err := c.call(ctx, http.MethodGet, "", nil, "")
	if err != nil {
		return err
	}
	var service api.Description
	if err := a.decode(&service); err != nil {
		return err
	}
	if most := service.Limits.MaxBytes; most > 0 && int64(len(content)) > most {
		return failf(exitLimited, "the text is too long: its %d bytes make a request of %d, and the service takes %d. Nothing was sent", text, len(content), most)
	}
	return nil
}

// tellLink prints the link alone on standard output, and what else there is to
// say on standard error.
func (o *options) tellLink(l link.Link, expires time.Time, std stdio) error {
	line := []byte(l.Reveal() + "\n")
	if o.JSON {
		var err error
		line, err = encodeJSON(struct {
			Link      string    `json:"link"`
			ExpiresAt time.Time `json:"expires_at"`
			Reads     int       `json:"reads,omitempty"` // absent: any
		}{l.Reveal(), expires, int(o.Reads)})
		if err != nil {
			return err
		}
	}
	std.warn("%s, until %s", o.Reads.describe(), local(expires))
	if _, err := std.out.Write(line); err != nil {
		return fmt.Errorf("the message is stored, but its link is lost: %w", err)
	}
	if o.QR {
		return drawQR(std.err, l.Reveal())
	}
	return nil
}

// readText reads the text to send, from a file or from standard input.
func readText(ctx context.Context, operands []string, std stdio) ([]byte, error) {
	in, name := std.in, "standard input"
	if len(operands) == 1 && operands[0] != "-" {
		file, err := os.Open(operands[0])
		if err != nil {
			return nil, failf(exitUsage, "%w (a text goes to standard input)", err)
		}
		defer func() { _ = file.Close() }()
		in, name = file, operands[0]
	} else if terminal(std.in) {
		std.warn("write the message, and end it with %s on a line of its own:", endOfInput())
	}
	text, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, maxText+1)) })
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, failf(exitUsage, "%s: %w", name, err)
	case len(text) == 0:
		return nil, failf(exitUsage, "%s is empty: there is nothing to send", name)
	case len(text) > maxText:
		return nil, failf(exitLimited, "%s has more than %d bytes", name, maxText)
	}
	if i := invalidUTF8(text); i >= 0 {
		return nil, failf(exitUsage, "%s is not UTF-8 text: byte %d is 0x%02x. Encode a file with base64 first", name, i+1, text[i])
	}
	return text, nil
}

// invalidUTF8 returns where a text stops being UTF-8, or -1.
func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// newPassphrase returns the passphrase to protect a message with, or "".
func (o *options) newPassphrase(ctx context.Context, std stdio) (string, error) {
	switch {
	case o.PassphraseFile != "":
		return o.passphraseFromFile(ctx, std)
	case !o.Passphrase:
		return "", nil
	}
	first, err := askPassphrase(ctx, std, "Passphrase: ")
	if err != nil {
		return "", err
	}
	second, err := askPassphrase(ctx, std, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", failure{exitUsage, errors.New("the passphrases differ; nothing was sent")}
	}
	return first, nil
}
