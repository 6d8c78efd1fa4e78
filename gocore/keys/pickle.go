package keys

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"parkit/gocore/errs"
)

// Opcodes of Python's pickle, protocol 5 or below.
const (
	pickleProto     = 0x80
	pickleStop      = '.'
	pickleMark      = '('
	pickleTuple     = 't'
	pickleFrozenset = 0x91
	pickleNone      = 'N'
	pickleTrue      = 0x88
	pickleFalse     = 0x89
	pickleLong      = 0x8B // size u32 LE, two's complement LE
	pickleFloat     = 'G'  // 8 bytes BE
	pickleBytes     = 'B'  // size u32 LE
	pickleUnicode   = 'X'  // size u32 LE, surrogates as three bytes
)

// appendPickle appends the opcodes that leave v on Python's stack, for keys
// that Go made and whose own form only a pickle holds.
func appendPickle(dst []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, tooBig("a key's tuples nest deeper than 200")
	}
	switch v := v.(type) {
	case nil:
		return append(dst, pickleNone), nil
	case bool:
		if v {
			return append(dst, pickleTrue), nil
		}
		return append(dst, pickleFalse), nil
	case int:
		return appendPickleInt(dst, big.NewInt(int64(v))), nil
	case int64:
		return appendPickleInt(dst, big.NewInt(v)), nil
	case *big.Int:
		return appendPickleInt(dst, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, pickleFloat), math.Float64bits(v)), nil
	case string:
		if !validText(v) {
			return nil, invalid("a string is not UTF-8")
		}
		return append(binary.LittleEndian.AppendUint32(append(dst, pickleUnicode), uint32(len(v))), v...), nil
	case []byte:
		return append(binary.LittleEndian.AppendUint32(append(dst, pickleBytes), uint32(len(v))), v...), nil
	case Tuple:
		return appendPickleItems(dst, v, pickleTuple, depth)
	case Frozenset:
		return appendPickleItems(dst, v, pickleFrozenset, depth)
	}
	return nil, errs.Newf(errs.InvalidArgument, "encode value", "",
		"a value cannot be of type %T; use nil, bool, int64, *big.Int, float64, string, []byte or keys.Pickled", v)
}

func appendPickleItems(dst []byte, items []any, end byte, depth int) ([]byte, error) {
	dst = append(dst, pickleMark)
	for _, item := range items {
		next, err := appendPickle(dst, item, depth+1)
		if err != nil {
			return nil, err
		}
		dst = next
	}
	return append(dst, end), nil
}

func appendPickleInt(dst []byte, v *big.Int) []byte {
	n := v.BitLen()/8 + 1 // room for the sign
	m := v
	if v.Sign() < 0 {
		m = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	raw := m.FillBytes(make([]byte, n))
	slices.Reverse(raw)
	return append(binary.LittleEndian.AppendUint32(append(dst, pickleLong), uint32(n)), raw...)
}
