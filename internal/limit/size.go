package limit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Size is a positive number of bytes. Its text form is a whole number,
// followed by KiB, MiB or GiB (powers of 1024), kB or MB (powers of 1000), or by
// nothing. Fractions are not read: what an operator wrote is what counts.
type Size int64

type sizeUnit struct {
	name  string
	bytes int64
}

// sizeUnits begin with those in which a Size is written.
var sizeUnits = []sizeUnit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}, {"kB", 1e3}, {"MB", 1e6}}

// maxCount is the largest Integer of a structured field (RFC 9651, section
// 3.3.1). Clients are told bursts and windows in such fields.
const maxCount = 999_999_999_999_999

// parseCount reads a positive number of tokens or bytes.
func parseCount(text string) (int64, error) {
	name := strings.TrimLeft(text, "0123456789")
	i := slices.IndexFunc(sizeUnits, func(u sizeUnit) bool { return u.name == name })
	if i < 0 || name == text {
		return 0, errors.New("must be a whole number, then KiB, MiB, GiB, kB, MB or nothing")
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(text, name), 10, 64)
	if err != nil || n == 0 || n > maxCount/sizeUnits[i].bytes {
		return 0, fmt.Errorf("must be from 1 to %d", maxCount)
	}
	return n * sizeUnits[i].bytes, nil
}

// String returns the text form in the largest binary unit that is exact.
func (s Size) String() string {
	i := slices.IndexFunc(sizeUnits, func(u sizeUnit) bool { return s != 0 && int64(s)%u.bytes == 0 || u.bytes == 1 })
	return strconv.FormatInt(int64(s)/sizeUnits[i].bytes, 10) + sizeUnits[i].name
}

// MarshalText returns the text form.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text form.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := parseCount(string(text))
	if err != nil {
		return fmt.Errorf("limit: size %q: the number of bytes %w", text, err)
	}
	*s = Size(n)
	return nil
}
