package limit

import (
	"errors"
	"strconv"
)

// A Size is a positive number of bytes. Its text form is a whole number,
// followed by KiB, MiB or GiB (powers of 1024), kB or MB (powers of 1000), or by
// nothing. Fractions are not read: what an operator wrote is what counts.
type Size int64

type sizeUnit struct {
	name  string
	bytes int64
}

func binaryUnits() []sizeUnit {
	return []sizeUnit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

func sizeUnits() []sizeUnit {
	return append(binaryUnits(), sizeUnit{"MB", 1e6}, sizeUnit{"kB", 1e3}, sizeUnit{"", 1})
}

// ParseSize reads the text form of a Size.
func ParseSize(text string) (Size, error) {
	n, err := parseBytes(text)
	if err != nil {
		return 0, errors.New("limit: size " + strconv.Quote(text) + ": the number of bytes " + err.Error())
	}
	return Size(n), nil
}

func parseBytes(text string) (int64, error) {
	digits := 0
	for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
		digits++
	}
	for _, unit := range sizeUnits() {
		if text[digits:] != unit.name {
			continue
		}
		n, err := parseCount(text[:digits])
		if err != nil {
			return 0, err
		}
		if n > maxCount/unit.bytes {
			return 0, errors.New("must be at most " + strconv.Itoa(maxCount))
		}
		return n * unit.bytes, nil
	}
	return 0, errors.New("must be a whole number, then KiB, MiB, GiB, kB, MB or nothing")
}

// String returns the text form in the largest binary unit that is exact.
func (s Size) String() string {
	n := int64(s)
	for _, unit := range binaryUnits() {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// MarshalText returns the text form.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// A ByteRate is a Rate whose tokens are bytes, written as Sizes: "64KiB/s:4MiB".
type ByteRate struct{ Rate }

// ParseByteRate reads the text form of a ByteRate.
func ParseByteRate(text string) (ByteRate, error) {
	r, err := parseRate(text, parseBytes)
	return ByteRate{r}, err
}

// String returns the text form.
func (r ByteRate) String() string { return r.text(func(n int64) string { return Size(n).String() }) }

// MarshalText returns the text form.
func (r ByteRate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseByteRate.
func (r *ByteRate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseByteRate(string(text))
	return err
}
