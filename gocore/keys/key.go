package keys

import (
	"bytes"
	"math"
	"math/big"
	"slices"
	"unicode/utf8"

	"parkit/gocore/errs"
)

// The first byte of an encoded key: the types in the order they sort. What
// each is followed by is told in storage-layout.md. Within a tuple or a
// frozenset, where a string would not know its end, a zero byte is written 00 FF
// and the end 00 01.
const (
	tagNone      = 0x05
	tagMinusInf  = 0x10
	tagNegative  = 0x11
	tagZero      = 0x12
	tagPositive  = 0x13
	tagPlusInf   = 0x14
	tagNaN       = 0x15
	tagStr       = 0x20
	tagBytes     = 0x28
	tagTuple     = 0x30
	tagFrozenset = 0x38
	tagPickled   = 0x40

	endOfItems  = 0x00
	zeroEscaped = 0xFF // after 00: a zero byte of the string
	zeroEnds    = 0x01 // after 00: the string's end
)

// maxDepth bounds how deep tuples nest in a key.
const maxDepth = 200

type (
	// Tuple is a key made of keys.
	Tuple []any
	// Frozenset is a key that is a set of keys; the order given has no meaning.
	Frozenset []any
	// Pickled is a key, or a value, of a type that only Python knows.
	Pickled []byte
)

// EncodeKey appends the order-preserving encoding of v to dst: nil, bool, int,
// int64, *big.Int, float64, string (UTF-8, surrogates as three bytes), []byte, Tuple,
// Frozenset or Pickled. own is the key as a value where DecodeKey gives back an
// equal key that is not the same (true is 1, 2.0 is 2, -0.0 is 0), else nil.
// Any other type is errs.InvalidArgument.
func EncodeKey(dst []byte, v any) (encoded, own []byte, err error) {
	encoded, exact, err := appendKey(dst, v, false, 0)
	if err != nil || exact {
		return encoded, nil, err
	}
	own, err = AppendValue(nil, v)
	return encoded, own, err
}

func appendKey(dst []byte, v any, nested bool, depth int) (encoded []byte, exact bool, err error) {
	switch v := v.(type) {
	case nil:
		return append(dst, tagNone), true, nil
	case bool:
		if v {
			return appendInt(dst, 1), false, nil
		}
		return appendInt(dst, 0), false, nil
	case int:
		return appendInt(dst, int64(v)), true, nil
	case int64:
		return appendInt(dst, v), true, nil
	case *big.Int:
		if v.IsInt64() {
			return appendInt(dst, v.Int64()), true, nil
		}
		encoded, err = appendBig(dst, v)
		return encoded, true, err
	case float64:
		// Decoded as an int, or without its sign, it would not be the same.
		exact = math.IsNaN(v) || math.IsInf(v, 0) || v != math.Trunc(v)
		return appendFloat(dst, v), exact, nil
	case string:
		if !validText(v) {
			return nil, false, invalid("a string key is not UTF-8")
		}
		return appendString(dst, tagStr, v, nested), true, nil
	case []byte:
		return appendString(dst, tagBytes, v, nested), true, nil
	case Pickled:
		return appendString(dst, tagPickled, v, nested), true, nil
	case Tuple:
		return appendTuple(dst, v, depth+1)
	case Frozenset:
		return appendFrozenset(dst, v, depth+1)
	}
	return nil, false, errs.Newf(errs.InvalidArgument, "encode key", "",
		"a key cannot be of type %T; use nil, bool, int64, *big.Int, float64, string, []byte or a keys.Tuple of these", v)
}

func appendTuple(dst []byte, items Tuple, depth int) ([]byte, bool, error) {
	if depth > maxDepth {
		return nil, false, tooBig("a key's tuples nest deeper than 200")
	}
	dst = append(dst, tagTuple)
	exact := true
	for _, item := range items {
		next, same, err := appendKey(dst, item, true, depth)
		if err != nil {
			return nil, false, err
		}
		dst, exact = next, exact && same
	}
	return append(dst, endOfItems), exact, nil
}

func appendFrozenset(dst []byte, items Frozenset, depth int) ([]byte, bool, error) {
	if depth > maxDepth {
		return nil, false, tooBig("a key's tuples nest deeper than 200")
	}
	parts, exact := make([][]byte, len(items)), true
	for i, item := range items {
		part, same, err := appendKey(nil, item, true, depth)
		if err != nil {
			return nil, false, err
		}
		parts[i], exact = part, exact && same
	}
	slices.SortFunc(parts, bytes.Compare)
	parts = slices.CompactFunc(parts, bytes.Equal)
	dst = append(dst, tagFrozenset)
	for _, part := range parts {
		dst = append(dst, part...)
	}
	return append(dst, endOfItems), exact, nil
}

func appendString[T string | []byte | Pickled](dst []byte, tag byte, v T, nested bool) []byte {
	dst = append(dst, tag)
	if !nested {
		return append(dst, v...)
	}
	for i := range len(v) {
		dst = append(dst, v[i])
		if v[i] == 0 {
			dst = append(dst, zeroEscaped)
		}
	}
	return append(dst, 0, zeroEnds)
}

// DecodeKey is the key that encoded stands for: nil, int64, *big.Int (only
// where int64 does not hold it), float64, string, []byte, Tuple, Frozenset or
// Pickled. It takes only what EncodeKey writes; all else, a shortened key among
// it, is errs.Corrupt.
func DecodeKey(encoded []byte) (any, error) {
	v, rest, ok := readKey(encoded, false, 0)
	if !ok || len(rest) > 0 {
		return nil, errs.Newf(errs.Corrupt, "decode key", "", "%x is not an encoded key", clip(encoded))
	}
	return v, nil
}

func readKey(p []byte, nested bool, depth int) (v any, rest []byte, ok bool) {
	if len(p) == 0 {
		return nil, nil, false
	}
	tag, p := p[0], p[1:]
	switch tag {
	case tagNone:
		return nil, p, true
	case tagZero:
		return int64(0), p, true
	case tagNegative, tagPositive:
		return readNumber(p, tag == tagNegative)
	case tagMinusInf:
		return math.Inf(-1), p, true
	case tagPlusInf:
		return math.Inf(1), p, true
	case tagNaN:
		return math.NaN(), p, true
	case tagStr:
		raw, rest, ok := readString(p, nested)
		if text := string(raw); ok && validText(text) {
			return text, rest, true
		}
	case tagBytes:
		raw, rest, ok := readString(p, nested)
		return raw, rest, ok
	case tagPickled:
		raw, rest, ok := readString(p, nested)
		return Pickled(raw), rest, ok
	case tagTuple:
		items, rest, ok := readItems(p, depth+1, false)
		return Tuple(items), rest, ok
	case tagFrozenset:
		items, rest, ok := readItems(p, depth+1, true)
		return Frozenset(items), rest, ok
	}
	return nil, nil, false
}

func readItems(p []byte, depth int, sorted bool) (items []any, rest []byte, ok bool) {
	if depth > maxDepth {
		return nil, nil, false
	}
	items = []any{}
	var last []byte
	for len(p) > 0 {
		if p[0] == endOfItems {
			return items, p[1:], true
		}
		item, rest, ok := readKey(p, true, depth)
		if !ok {
			return nil, nil, false
		}
		this := p[:len(p)-len(rest)]
		if sorted && last != nil && bytes.Compare(last, this) >= 0 {
			return nil, nil, false
		}
		items, last, p = append(items, item), this, rest
	}
	return nil, nil, false
}

// readString copies: what it returns outlives p.
func readString(p []byte, nested bool) (raw, rest []byte, ok bool) {
	if !nested {
		return append([]byte{}, p...), nil, true
	}
	raw = []byte{}
	for {
		i := bytes.IndexByte(p, 0)
		if i < 0 || i+1 >= len(p) {
			return nil, nil, false
		}
		raw = append(raw, p[:i]...)
		switch p[i+1] {
		case zeroEnds:
			return raw, p[i+2:], true
		case zeroEscaped:
			raw, p = append(raw, 0), p[i+2:]
		default:
			return nil, nil, false
		}
	}
}

// validText reports whether s is UTF-8 in which surrogates, which a Python
// str can hold, may stand as three bytes each.
func validText(s string) bool {
	for !utf8.ValidString(s) {
		i := 0
		for r, size := utf8.DecodeRuneInString(s); r != utf8.RuneError || size != 1; {
			i += size
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if s = s[i:]; len(s) < 3 || s[0] != 0xED || s[1]&0xE0 != 0xA0 || s[2]&0xC0 != 0x80 {
			return false
		}
		s = s[3:]
	}
	return true
}

func tooBig(what string) error {
	return errs.New(errs.TooBig, "encode key", "", what+"; use a smaller key")
}

func invalid(what string) error {
	return errs.New(errs.InvalidArgument, "encode key", "", what+"; use []byte for arbitrary bytes")
}
