package store

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Limits of one reply.
const (
	// maxReply bounds the bytes that a reply announces: the largest --max-bytes is
	// 64 MiB, and its envelope and its record come on top.
	maxReply = 65 << 20
	// arrayCost and elementCost are what an array and each of its elements count
	// for. They are about what go-redis allocates before any of them has come. The
	// largest honest array is a Cluster's list of 16384 slots, each with its nodes.
	arrayCost   = 256
	elementCost = 48
	maxLine     = 64 << 10 // of a status, an error, a number, or a length
)

// A replyScanner follows the replies on one connection and finds the first that
// breaks a limit. They are RESP2, which is all that the store asks for:
// https://redis.io/docs/latest/develop/reference/protocol-spec.
type replyScanner struct {
	err     error  // the first that was found; what follows is not scanned
	line    []byte // the part of a line that has come
	skip    int64  // bytes of a string that are still to come, its CRLF included
	size    int64  // what the reply has announced
	pending int64  // elements of the reply that are still to come, at any depth; 0: no reply has begun
}

// scan looks at the next bytes of the connection.
func (s *replyScanner) scan(b []byte) error {
	for s.err == nil && len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, int64(len(b)))
			b = b[n:]
			if s.skip -= n; s.skip == 0 {
				s.pending--
			}
			continue
		}
		if len(s.line) == 0 {
			if s.err = checkKind(b[0]); s.err != nil {
				break
			}
		}
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			end = len(b)
		}
		s.line = append(s.line, b[:end]...)
		b = b[end:]
		switch {
		case len(s.line) > maxLine:
			s.err = fmt.Errorf("a line of more than %d bytes", maxLine)
		case s.line[len(s.line)-1] == '\n':
			s.err = s.header(s.line)
			s.line = s.line[:0]
		}
	}
	if s.err != nil {
		return fmt.Errorf("not a reply of Redis: %w", s.err)
	}
	return nil
}

// header reads a line that begins a reply or an element of one.
func (s *replyScanner) header(line []byte) error {
	if s.pending == 0 { // a new reply
		s.pending, s.size = 1, 0
	}
	s.size += int64(len(line))
	if kind := line[0]; kind == '$' || kind == '*' {
		length, err := strconv.ParseInt(string(bytes.TrimSuffix(line[1:], []byte("\r\n"))), 10, 64)
		switch {
		case err != nil || length < -1:
			return errors.New("a length that is not a number")
		case length > maxReply:
			return errTooLarge
		case length < 0: // nil
		case kind == '$':
			s.size += length
			s.skip = length + 2
		default:
			s.size += arrayCost + length*elementCost
			s.pending += length
		}
	}
	if s.size > maxReply {
		return errTooLarge
	}
	if s.skip == 0 {
		s.pending-- // the line was the whole element, or is an array's own
	}
	return nil
}

var errTooLarge = fmt.Errorf("it announces more than %d bytes", maxReply)

// checkKind refuses a reply that does not begin as one.
func checkKind(kind byte) error {
	const tlsAlert, tlsHandshake = 0x15, 0x16
	switch kind {
	case '+', '-', ':', '$', '*':
		return nil
	case tlsAlert, tlsHandshake:
		return errors.New("it is TLS: use rediss:// in place of redis://")
	default:
		return fmt.Errorf("it begins with %q", kind)
	}
}
