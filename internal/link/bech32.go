package link

import "strings"

// encodeIdentity writes an X25519 scalar as age does: in Bech32 (BIP 173), upper
// case. age keeps its encoder internal, and the modules that export one bring
// cryptocurrencies along.
func encodeIdentity(scalar []byte) string {
	const (
		prefix   = "age-secret-key-"
		alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
		checksum = 6 // characters
	)
	groups := regroup(scalar)
	var values []byte // what the checksum covers
	for i := range prefix {
		values = append(values, prefix[i]>>5)
	}
	values = append(values, 0)
	for i := range prefix {
		values = append(values, prefix[i]&31)
	}
	values = append(values, groups...)
	sum := polymod(append(values, make([]byte, checksum)...)) ^ 1
	for i := range checksum {
		groups = append(groups, byte(sum>>(5*(checksum-1-i))&31))
	}
	var b strings.Builder
	b.WriteString(prefix + "1")
	for _, g := range groups {
		b.WriteByte(alphabet[g])
	}
	return strings.ToUpper(b.String())
}

// regroup splits bytes into groups of five bits, the last one filled with zeros.
func regroup(data []byte) (groups []byte) {
	var rest uint32
	bits := 0
	for _, b := range data {
		rest = rest<<8 | uint32(b)
		for bits += 8; bits >= 5; {
			bits -= 5
			groups = append(groups, byte(rest>>bits&31))
		}
	}
	if bits > 0 {
		groups = append(groups, byte(rest<<(5-bits)&31))
	}
	return groups
}

// polymod is the checksum of BIP 173.
func polymod(values []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	sum := uint32(1)
	for _, v := range values {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range generator {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	return sum
}
