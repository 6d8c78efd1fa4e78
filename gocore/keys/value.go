package keys

import (
	"encoding/binary"
	"math"
	"math/big"
	"unicode/utf8"

	"parkit/gocore/errs"
)

// Values are msgpack: nil, bool, int, float64, str and bin as they are, in
// their shortest form, and everything else in an extension.
const (
	// ExtPickle holds a pickle of protocol 5.
	ExtPickle = 1
	// ExtKey holds an encoded key; only the key field of a record has it,
	// where the database key was shortened.
	ExtKey = 2
)

// AppendValue appends the value encoding of v: nil, bool, int, int64, float64,
// string, []byte, Pickled, and the other types of keys as a pickle that Python
// reads. Any other type is errs.InvalidArgument.
func AppendValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, 0xC0), nil
	case bool:
		if v {
			return append(dst, 0xC3), nil
		}
		return append(dst, 0xC2), nil
	case int:
		return appendValueInt(dst, int64(v)), nil
	case int64:
		return appendValueInt(dst, v), nil
	case *big.Int:
		if v.IsInt64() {
			return appendValueInt(dst, v.Int64()), nil
		}
		if v.IsUint64() {
			return binary.BigEndian.AppendUint64(append(dst, 0xCF), v.Uint64()), nil
		}
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, 0xCB), math.Float64bits(v)), nil
	case string:
		if utf8.ValidString(v) {
			return append(appendSize(dst, 0xA0, 31, 0xD9, len(v)), v...), nil
		}
	case []byte:
		return append(appendSize(dst, 0, -1, 0xC4, len(v)), v...), nil
	case Pickled:
		return appendExt(dst, ExtPickle, v), nil
	}
	pickle, err := appendPickle([]byte{pickleProto, 5}, v, 0)
	if err != nil {
		return nil, err
	}
	return appendExt(dst, ExtPickle, append(pickle, pickleStop)), nil
}

func appendValueInt(dst []byte, v int64) []byte {
	switch {
	case v >= -32 && v < 128:
		return append(dst, byte(v))
	case v >= 0 && v <= math.MaxUint8:
		return append(dst, 0xCC, byte(v))
	case v >= 0 && v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xCD), uint16(v))
	case v >= 0 && v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xCE), uint32(v))
	case v >= 0:
		return binary.BigEndian.AppendUint64(append(dst, 0xCF), uint64(v))
	case v >= math.MinInt8:
		return append(dst, 0xD0, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xD1), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xD2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xD3), uint64(v))
}

// appendSize appends the head of a str or bin of n bytes: fix|n up to fixMax,
// else wide, wide+1 or wide+2 with one, two or four bytes of n.
func appendSize(dst []byte, fix byte, fixMax int, wide byte, n int) []byte {
	switch {
	case n <= fixMax:
		return append(dst, fix|byte(n))
	case n <= math.MaxUint8:
		return append(dst, wide, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, wide+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, wide+2), uint32(n))
}

func appendExt(dst []byte, kind byte, body []byte) []byte {
	switch len(body) {
	case 1:
		dst = append(dst, 0xD4)
	case 2:
		dst = append(dst, 0xD5)
	case 4:
		dst = append(dst, 0xD6)
	case 8:
		dst = append(dst, 0xD7)
	case 16:
		dst = append(dst, 0xD8)
	default:
		dst = appendSize(dst, 0, -1, 0xC7, len(body))
	}
	return append(append(dst, kind), body...)
}

// DecodeValue reads a value encoding: nil, bool, int64, *big.Int (only where
// int64 does not hold it), float64, string, []byte or Pickled; an ExtKey gives
// the key. All else is errs.Corrupt.
func DecodeValue(p []byte) (any, error) {
	if v, ok := readValue(p); ok {
		return v, nil
	}
	return nil, errs.Newf(errs.Corrupt, "decode value", "", "%x is not an encoded value", clip(p))
}

func readValue(p []byte) (any, bool) {
	if len(p) == 0 {
		return nil, false
	}
	tag, p := p[0], p[1:]
	switch {
	case tag < 0x80 || tag >= 0xE0:
		return int64(int8(tag)), len(p) == 0
	case tag&0xE0 == 0xA0:
		return string(p), len(p) == int(tag&31) && utf8.Valid(p)
	case tag == 0xC0:
		return nil, len(p) == 0
	case tag == 0xC2, tag == 0xC3:
		return tag == 0xC3, len(p) == 0
	case tag >= 0xCA && tag <= 0xD3:
		return readValueNumber(tag, p)
	case tag >= 0xC4 && tag <= 0xC6:
		body, ok := readBody(p, 1<<(tag-0xC4), 0)
		return append([]byte{}, body...), ok
	case tag >= 0xC7 && tag <= 0xC9:
		body, ok := readBody(p, 1<<(tag-0xC7), 1)
		return readExt(body, ok)
	case tag >= 0xD4 && tag <= 0xD8:
		return readExt(p, len(p) == 1+1<<(tag-0xD4))
	case tag >= 0xD9 && tag <= 0xDB:
		body, ok := readBody(p, 1<<(tag-0xD9), 0)
		return string(body), ok && utf8.Valid(body)
	}
	return nil, false
}

func readValueNumber(tag byte, p []byte) (any, bool) {
	size := map[byte]int{0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}[tag]
	if len(p) != size {
		return nil, false
	}
	var u uint64
	for _, b := range p {
		u = u<<8 | uint64(b)
	}
	switch {
	case tag == 0xCA:
		return float64(math.Float32frombits(uint32(u))), true
	case tag == 0xCB:
		return math.Float64frombits(u), true
	case tag == 0xCF && u > math.MaxInt64:
		return new(big.Int).SetUint64(u), true
	case tag >= 0xD0:
		shift := 64 - 8*size
		return int64(u) << shift >> shift, true
	}
	return int64(u), true
}

// readBody reads a size of width bytes and checks that the body, behind skip
// more bytes, is just that long.
func readBody(p []byte, width, skip int) ([]byte, bool) {
	if len(p) < width+skip {
		return nil, false
	}
	n := 0
	for _, b := range p[:width] {
		n = n<<8 | int(b)
	}
	return p[width:], len(p) == width+skip+n
}

func readExt(p []byte, ok bool) (any, bool) {
	if !ok {
		return nil, false
	}
	switch p[0] {
	case ExtPickle:
		return Pickled(append([]byte{}, p[1:]...)), true
	case ExtKey:
		v, err := DecodeKey(p[1:])
		return v, err == nil
	}
	return nil, false
}
