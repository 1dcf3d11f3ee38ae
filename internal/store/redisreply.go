package store

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of one reply.
const (
	// maxReply bounds the bytes that a reply announces: the largest --max-bytes is
	// 64 MiB, and its envelope and its record come on top.
	maxReply = 65 << 20
	// elementCost is what an element of an array counts for. It is about what
	// go-redis allocates for one before it has come. The largest honest array is a
	// Cluster's list of 16384 slots, each with its nodes.
	elementCost = 48
	maxLine     = 64 << 10 // of a status, an error, a number, or a length
	maxDepth    = 8        // of arrays in arrays
)

// A replyScanner follows the replies on one connection and finds the first that
// breaks a limit. It knows RESP2 and, since go-redis speaks that with Sentinels,
// RESP3: https://redis.io/docs/latest/develop/reference/protocol-spec.
type replyScanner struct {
	err   error           // the first that was found; what follows has no frame
	line  []byte          // the part of a line that has come
	skip  int64           // bytes of a string that are still to come, its CRLF included
	size  int64           // what the reply has announced
	open  [maxDepth]int64 // elements to come of each array that is not complete
	depth int             // how many those are
}

// scan looks at the next bytes of the connection.
func (s *replyScanner) scan(b []byte) error {
	for s.err == nil && len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, int64(len(b)))
			b = b[n:]
			if s.skip -= n; s.skip == 0 {
				s.complete()
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
		if s.err == nil && s.size > maxReply {
			s.err = errTooLarge
		}
	}
	if s.err != nil {
		return fmt.Errorf("not a reply of Redis: %w", s.err)
	}
	return nil
}

// header reads a line that begins a reply or an element of one.
func (s *replyScanner) header(line []byte) error {
	s.size += int64(len(line))
	kind := line[0]
	if strings.IndexByte(lineKinds, kind) >= 0 {
		s.complete()
		return nil
	}
	length, err := strconv.ParseInt(string(bytes.TrimSuffix(line[1:], []byte("\r\n"))), 10, 64)
	if err != nil || length < -1 {
		return errors.New("a length that is not a number")
	}
	if length > maxReply {
		return errTooLarge
	}
	if kind == '%' {
		length *= 2 // keys and values
	}
	switch {
	case length < 0: // nil
		s.complete()
	case strings.IndexByte(stringKinds, kind) >= 0:
		s.size += length
		s.skip = length + 2
	case length == 0:
		s.complete()
	case s.depth == maxDepth:
		return fmt.Errorf("arrays in arrays, more than %d deep", maxDepth)
	default:
		s.size += length * elementCost
		s.open[s.depth] = length
		s.depth++
	}
	return nil
}

var errTooLarge = fmt.Errorf("it announces more than %d bytes", maxReply)

// complete notes the end of an element, and of the arrays and the reply that end
// with it.
func (s *replyScanner) complete() {
	for s.depth > 0 {
		s.open[s.depth-1]--
		if s.open[s.depth-1] > 0 {
			return
		}
		s.depth--
	}
	s.size = 0
}

// The first bytes of replies, by what follows. Attributes (|) are not among them:
// Redis sends them to clients that ask for them.
const (
	lineKinds   = "+-:_,#("
	stringKinds = "$!="
	arrayKinds  = "*~>%"
)

// checkKind refuses a reply that does not begin as one.
func checkKind(kind byte) error {
	const tlsAlert, tlsHandshake = 0x15, 0x16
	switch {
	case strings.IndexByte(lineKinds+stringKinds+arrayKinds, kind) >= 0:
		return nil
	case kind == tlsAlert, kind == tlsHandshake:
		return errors.New("it is TLS: use rediss:// in place of redis://")
	default:
		return fmt.Errorf("it begins with %q", kind)
	}
}
