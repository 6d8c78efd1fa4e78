package keys

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
)

// A number v is 0.m * 2**e in binary, m beginning with a 1. It is written as
// its sign (the tag), e, and the bits of m without trailing zeros in groups of
// seven, each group's byte odd when another follows. So ints of any size and
// floats sort together, and equal ones are equal bytes. Behind a negative
// sign every byte is complemented.

const (
	exponentBias  = 0x2000
	exponentShort = 0xEFFF // the largest biased exponent that takes two bytes
	exponentLong  = 0xFFFF // eight bytes of unbiased exponent follow

	// maxExponent bounds ints to 16 MiB of bits, so that a few bytes of a
	// damaged key cannot ask for all the memory.
	maxExponent = 1 << 27
)

// appendMantissa64 appends the number whose mantissa is m, left-aligned.
func appendMantissa64(dst []byte, negative bool, m uint64, e int) []byte {
	dst, flip := appendExponent(dst, negative, e)
	for {
		group := byte(m>>57) << 1
		if m <<= 7; m == 0 {
			return append(dst, group^flip)
		}
		dst = append(dst, (group|1)^flip)
	}
}

func appendExponent(dst []byte, negative bool, e int) ([]byte, byte) {
	tag, flip := byte(tagPositive), byte(0)
	if negative {
		tag, flip = tagNegative, 0xFF
	}
	if u := e + exponentBias; u <= exponentShort {
		return append(dst, tag, byte(u>>8)^flip, byte(u)^flip), flip
	}
	dst = append(dst, tag, 0xFF^flip, 0xFF^flip)
	for shift := 56; shift >= 0; shift -= 8 {
		dst = append(dst, byte(uint64(e)>>shift)^flip)
	}
	return dst, flip
}

func appendInt(dst []byte, v int64) []byte {
	if v == 0 {
		return append(dst, tagZero)
	}
	u := uint64(v)
	if v < 0 {
		u = -u
	}
	zeros := bits.LeadingZeros64(u)
	return appendMantissa64(dst, v < 0, u<<zeros, 64-zeros)
}

func appendFloat(dst []byte, v float64) []byte {
	switch {
	case v == 0:
		return append(dst, tagZero)
	case math.IsNaN(v):
		return append(dst, tagNaN)
	case math.IsInf(v, 1):
		return append(dst, tagPlusInf)
	case math.IsInf(v, -1):
		return append(dst, tagMinusInf)
	}
	fraction, e := math.Frexp(math.Abs(v)) // fraction in [0.5, 1), so 53 bits of it are an integer
	return appendMantissa64(dst, v < 0, uint64(math.Ldexp(fraction, 53))<<11, e)
}

// appendBig is for ints that int64 does not hold; v is not zero.
func appendBig(dst []byte, v *big.Int) ([]byte, error) {
	e := v.BitLen()
	if e > maxExponent {
		return nil, tooBig("an int key has more than 2**27 bits")
	}
	m := new(big.Int).Abs(v)
	m.Rsh(m, m.TrailingZeroBits())
	n := (m.BitLen() + 6) / 7
	m.Lsh(m, uint(7*n-m.BitLen()))
	dst, flip := appendExponent(dst, v.Sign() < 0, e)
	raw := m.Bytes()
	// raw's last bit is the last bit of the last group.
	hold, held := uint(0), 0
	start := len(dst)
	dst = append(dst, make([]byte, n)...)
	for i, at := n-1, len(raw)-1; i >= 0; i-- {
		if held < 7 && at >= 0 {
			hold |= uint(raw[at]) << held
			at, held = at-1, held+8
		}
		group := byte(hold&0x7F) << 1
		if i < n-1 {
			group |= 1
		}
		dst[start+i] = group ^ flip
		hold, held = hold>>7, held-7
	}
	return dst, nil
}

// readNumber reads what follows the tag of a number that is neither zero nor
// one of the special ones. It takes only what the appenders write.
func readNumber(p []byte, negative bool) (v any, rest []byte, ok bool) {
	flip := byte(0)
	if negative {
		flip = 0xFF
	}
	if len(p) < 3 {
		return nil, nil, false
	}
	e := int(p[0]^flip)<<8 | int(p[1]^flip)
	p = p[2:]
	if e > exponentShort {
		if e != exponentLong || len(p) < 9 {
			return nil, nil, false
		}
		long := binary.BigEndian.Uint64(p)
		if negative {
			long = ^long
		}
		if long > maxExponent || long <= exponentShort-exponentBias {
			return nil, nil, false
		}
		e, p = int(long), p[8:]
	} else {
		e -= exponentBias
	}
	n := 0
	for n < len(p) && (p[n]^flip)&1 == 1 {
		n++
	}
	if n == len(p) || p[0]^flip < 0x80 || p[n]^flip == 0 {
		return nil, nil, false
	}
	n++
	groups, rest := p[:n], p[n:]
	width := 7*n - bits.TrailingZeros8((groups[n-1]^flip)>>1) // bits of the mantissa
	if e < width {
		return readFraction(groups, rest, negative, flip, width, e)
	}
	if e <= 64 {
		u := gather64(groups, flip) >> (64 - e)
		switch {
		case negative && u <= 1<<63:
			return -int64(u), rest, true //nolint:gosec // 1<<63 wraps to the smallest int64, as it should
		case !negative && u < 1<<63:
			return int64(u), rest, true
		}
		m := new(big.Int).SetUint64(u)
		if negative {
			m.Neg(m)
		}
		return m, rest, true
	}
	m := gatherBig(groups, flip)
	if shift := e - 7*n; shift >= 0 {
		m.Lsh(m, uint(shift))
	} else {
		m.Rsh(m, uint(-shift))
	}
	if negative {
		m.Neg(m)
	}
	return m, rest, true
}

func readFraction(groups, rest []byte, negative bool, flip byte, width, e int) (any, []byte, bool) {
	if width > 53 || e > 1024 {
		return nil, nil, false
	}
	m := gather64(groups, flip) >> 11
	v := math.Ldexp(float64(m), e-53)
	if again, f := math.Frexp(v); f != e || uint64(math.Ldexp(again, 53)) != m {
		return nil, nil, false // below what a float holds
	}
	if negative {
		v = -v
	}
	return v, rest, true
}

// gather64 is the mantissa, left-aligned; bits past 64 are zero where it is used.
func gather64(groups []byte, flip byte) uint64 {
	m, at := uint64(0), 57
	for _, b := range groups {
		group := uint64((b ^ flip) >> 1)
		if at >= 0 {
			m |= group << at
		} else {
			m |= group >> -at
		}
		at -= 7
	}
	return m
}

// gatherBig is the groups as one integer of 7*len(groups) bits.
func gatherBig(groups []byte, flip byte) *big.Int {
	raw := make([]byte, (7*len(groups)+7)/8)
	hold, held, at := uint(0), 0, len(raw)-1
	for i := len(groups) - 1; i >= 0; i-- {
		hold |= uint((groups[i]^flip)>>1) << held
		if held += 7; held >= 8 {
			raw[at] = byte(hold)
			hold, held, at = hold>>8, held-8, at-1
		}
	}
	if held > 0 {
		raw[at] = byte(hold)
	}
	return new(big.Int).SetBytes(raw)
}
