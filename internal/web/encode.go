package web

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"messaging_api/internal/message"
)

// Answers are JSON that is written by hand: reads and refusals are the hot path,
// and the size of a message's JSON has to be known before it takes memory.

// messageStart is how the JSON of a message starts.
const messageStart = `{"status":200,"message":`

// messageSize returns the size of the JSON of a message with this text, which must
// be UTF-8, and this end.
func messageSize(text, end []byte) int { return len(messageStart) + quotedSize(text) + len(end) }

// encodeMessage returns the JSON of a message, which has this size.
func encodeMessage(text, end []byte, size int) []byte {
	b := append(make([]byte, 0, size), messageStart...)
	b = appendString(b, text)
	return append(b, end...)
}

// appendEnd appends the end of a message: the members after the text.
func appendEnd(b []byte, m message.Message) []byte {
	if m.Limited {
		b = append(b, `,"reads_left":`...)
		b = strconv.AppendInt(b, int64(m.Left), 10)
		b = appendOpened(b, m.Opened)
	}
	return appendExpiry(b, m.Expires)
}

func appendOpened(b []byte, times []time.Time) []byte {
	b = append(b, `,"opened":[`...)
	for i, t := range times {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTime(b, t)
	}
	return append(b, ']')
}

// appendExpiry ends an answer with its last member.
func appendExpiry(b []byte, expires time.Time) []byte {
	b = append(b, `,"expires_at":`...)
	b = appendTime(b, expires)
	return append(b, "}\n"...)
}

// appendTime appends a time as a JSON string: RFC 3339 in UTC with milliseconds,
// the precision that is kept.
func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
}

// created returns the answer to a creation.
func created(id, link, owner string, expires time.Time) []byte {
	b := append(make([]byte, 0, 256), `{"status":200,"message_id":`...)
	b = appendString(b, id)
	b = append(b, `,"url":`...)
	b = appendString(b, link)
	b = append(b, `,"owner_token":`...)
	b = appendString(b, owner)
	return appendExpiry(b, expires)
}

// problem returns the body of a refusal (RFC 9457). Its type is about:blank, because
// the status says all that a program needs (section 4.2.1). The detail is for people.
func problem(status int, detail string) []byte {
	b := append(make([]byte, 0, 96+len(detail)), `{"type":"about:blank","title":`...)
	b = appendString(b, http.StatusText(status))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"detail":`...)
	b = appendString(b, detail)
	return append(b, "}\n"...)
}

// gone returns the refusal of a message that was opened as often as it could be,
// taken back or taken down.
func gone(e *message.GoneError) refusal {
	detail, member, at := "The message was opened as often as it could be, and is deleted.", "", time.Time{}
	switch {
	case !e.TakenDown.IsZero():
		detail, member, at = "The operator removed the message.", `,"taken_down_at":`, e.TakenDown
	case !e.Withdrawn.IsZero():
		detail, member, at = "The sender took the message back.", `,"withdrawn_at":`, e.Withdrawn
	}
	b := bytes.TrimSuffix(problem(http.StatusGone, detail), []byte("}\n"))
	b = appendOpened(b, e.Opened)
	if member != "" {
		b = appendTime(append(b, member...), at)
	}
	return refusal{status: http.StatusGone, detail: detail, json: append(b, "}\n"...)}
}

// appendString appends s as a JSON string. The replacement character replaces what
// is not UTF-8.
func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// quotedSize returns the size of what appendString appends for UTF-8.
func quotedSize(s []byte) int {
	size := len(s) + len(`""`)
	for _, c := range s {
		switch {
		case c >= ' ' && c != '"' && c != '\\':
		case c == '"', c == '\\', c == '\b', c == '\f', c == '\n', c == '\r', c == '\t':
			size++
		default:
			size += len(`\u0000`) - 1
		}
	}
	return size
}
