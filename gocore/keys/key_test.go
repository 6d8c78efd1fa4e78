package keys

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"strings"
	"testing"

	"parkit/gocore/errs"

	"pgregory.net/rapid"
)

var edgeFloats = []float64{0, 0.5, 1, 2, 1e300, math.MaxFloat64, math.SmallestNonzeroFloat64, 0x1p-1022, 1 << 53, 0x1p63, 0x1p64, math.Inf(1)}

func drawFloat(t *rapid.T, label string) float64 {
	v := rapid.OneOf(rapid.Float64(), rapid.SampledFrom(edgeFloats)).Draw(t, label)
	if rapid.Bool().Draw(t, label+" negative") {
		return -v
	}
	return v
}

func drawInt(t *rapid.T, label string) *big.Int {
	v := new(big.Int).SetUint64(rapid.Uint64().Draw(t, label))
	v.Lsh(v, rapid.OneOf(rapid.Just(uint(0)), rapid.UintRange(0, 2000), rapid.Just(uint(60000))).Draw(t, label+" shift"))
	v.Add(v, big.NewInt(rapid.Int64Range(-3, 3).Draw(t, label+" offset")))
	if rapid.Bool().Draw(t, label+" negative") {
		v.Neg(v)
	}
	return v
}

// drawKey draws a key whose encoding is exact, nested as deep as depth.
func drawKey(t *rapid.T, label string, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, label+" kind") {
	case 0:
		return nil
	case 1:
		return drawInt(t, label)
	case 2:
		return drawFloat(t, label)
	case 3:
		return rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("\x00\x01a\u00ff\ue000\U0001F600")))).Draw(t, label)
	case 4:
		return rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0, 1, 255}))).Draw(t, label)
	}
	items := Tuple{}
	for range rapid.IntRange(0, 3).Draw(t, label+" length") {
		items = append(items, drawKey(t, label+" item", depth-1))
	}
	return items
}

func rank(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case *big.Int:
		return 1
	case float64:
		if math.IsNaN(v) {
			return 2
		}
		return 1
	case string:
		return 3
	case []byte:
		return 4
	}
	return 5
}

// compare is the order that keys should have, without the encoding.
func compare(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case Tuple:
		b := b.(Tuple)
		for i := range min(len(a), len(b)) {
			if c := compare(a[i], b[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a), len(b))
	}
	if rank(a) == 1 {
		return exact(a).Cmp(exact(b))
	}
	return 0
}

// exact is a number without rounding.
func exact(v any) *big.Float {
	f := new(big.Float).SetPrec(70000)
	switch v := v.(type) {
	case *big.Int:
		return f.SetInt(v)
	case float64:
		return f.SetFloat64(v)
	}
	return f
}

func mustEncode(t interface{ Fatalf(string, ...any) }, v any) []byte {
	encoded, _, err := EncodeKey(nil, v)
	if err != nil {
		t.Fatalf("EncodeKey(%v): %v", v, err)
	}
	return encoded
}

func TestOrderOfEncodingsIsOrderOfKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawKey(t, "a", 2), drawKey(t, "b", 2)
		x, y := mustEncode(t, a), mustEncode(t, b)
		if got, want := bytes.Compare(x, y), compare(a, b); got != want {
			t.Fatalf("%v and %v compare as %d, their encodings %x and %x as %d", a, b, want, x, y, got)
		}
	})
}

func TestNearNumbersSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFloat(t, "f")
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return
		}
		near, _ := exact(f).Int(nil)
		near.Add(near, big.NewInt(rapid.Int64Range(-2, 2).Draw(t, "offset")))
		g := math.Nextafter(f, math.Inf(1))
		for _, other := range []any{near, g} {
			if got, want := bytes.Compare(mustEncode(t, f), mustEncode(t, other)), compare(f, other); got != want {
				t.Fatalf("%v and %v compare as %d, encoded as %d", f, other, want, got)
			}
		}
	})
}

func TestKeysRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawKey(t, "key", 3)
		encoded := mustEncode(t, v)
		back, err := DecodeKey(encoded)
		if err != nil {
			t.Fatalf("DecodeKey(%x) of %v: %v", encoded, v, err)
		}
		if again := mustEncode(t, back); !bytes.Equal(again, encoded) {
			t.Fatalf("%v came back as %v", v, back)
		}
	})
}

func TestEqualNumbersAreOneKey(t *testing.T) {
	for _, same := range [][]any{
		{1, int64(1), big.NewInt(1), 1.0, true},
		{0, 0.0, math.Copysign(0, -1), false},
		{-2, -2.0}, {math.MinInt64, -0x1p63},
		{new(big.Int).Lsh(big.NewInt(1), 1000), 0x1p1000},
		{math.NaN(), math.Float64frombits(0xFFF8000000000001)},
		{Tuple{1, "a"}, Tuple{true, "a"}},
		{Frozenset{1, "a"}, Frozenset{"a", 1.0, 1}},
	} {
		for _, v := range same[1:] {
			if x, y := mustEncode(t, same[0]), mustEncode(t, v); !bytes.Equal(x, y) {
				t.Errorf("%v is %x, %v is %x", same[0], x, v, y)
			}
		}
	}
}

func TestOwnKeepsWhatTheEncodingLoses(t *testing.T) {
	for _, test := range []struct {
		key  any
		lost bool
	}{
		{nil, false}, {true, true}, {1, false}, {1.5, false}, {1.0, true}, {0.0, true}, {math.Inf(1), false},
		{math.NaN(), false}, {"a", false}, {Tuple{1, 2.5}, false}, {Tuple{1, Tuple{2.0}}, true}, {Frozenset{true}, true},
	} {
		_, own, err := EncodeKey(nil, test.key)
		if err != nil || (own != nil) != test.lost {
			t.Errorf("EncodeKey(%v) has own %x, error %v", test.key, own, err)
		}
	}
}

func TestRefusesKeys(t *testing.T) {
	deep := any(nil)
	for range maxDepth + 1 {
		deep = Tuple{deep}
	}
	for _, test := range []struct {
		key  any
		code errs.Code
	}{
		{[]string{}, errs.InvalidArgument}, {"a\xff", errs.InvalidArgument}, {"\xed\xa0", errs.InvalidArgument},
		{deep, errs.TooBig}, {new(big.Int).Lsh(big.NewInt(1), maxExponent), errs.TooBig},
	} {
		if _, _, err := EncodeKey(nil, test.key); errs.CodeOf(err) != test.code {
			t.Errorf("a key of type %T: %v", test.key, err)
		}
	}
}

func TestSurrogatesAreText(t *testing.T) {
	for _, s := range []string{"\xed\xa0\x80", "a\xed\xbf\xbf\u1234", "\xed\xa0\xbd\xed\xb8\x80", strings.Repeat("\xed\xa0\x80\ufffd", 3)} {
		if back, err := DecodeKey(mustEncode(t, s)); err != nil || back != s {
			t.Errorf("%x came back as %v, %v", s, back, err)
		}
	}
}

func FuzzDecodeKey(f *testing.F) {
	for _, v := range []any{nil, 1, -1, 1.5, "a", []byte{0}, Tuple{1, "a\x00", Tuple{}}, Frozenset{1, nil}, Pickled("x"), 1e300} {
		encoded, _, _ := EncodeKey(nil, v)
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		v, err := DecodeKey(p)
		if err != nil {
			if !errs.Has(err, errs.Corrupt) {
				t.Fatal(err)
			}
			return
		}
		if again := mustEncode(t, v); !bytes.Equal(again, p) {
			t.Fatalf("%x decodes to %v, which is %x", p, v, again)
		}
	})
}
