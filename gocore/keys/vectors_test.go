package keys

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vector is one line of vectors.json, which tests/test_codec.py reads as well.
type vector struct {
	Key    string `json:"key"`    // the key as a Python expression
	Hex    string `json:"hex"`    // its encoding
	Own    string `json:"own"`    // its value encoding where the record must hold it, else empty
	Pickle bool   `json:"pickle"` // own is a pickle: another writer's may differ and mean the same
}

func power(base, exponent int64) *big.Int {
	return new(big.Int).Exp(big.NewInt(base), big.NewInt(exponent), nil)
}

func plus(v *big.Int, n int64) *big.Int { return new(big.Int).Add(v, big.NewInt(n)) }

var vectorKeys = []struct {
	python string
	key    any
}{
	{"None", nil}, {"False", false}, {"True", true},
	{"0", 0}, {"1", 1}, {"-1", -1}, {"2", 2}, {"127", 127}, {"128", 128}, {"-128", -128}, {"255", 255}, {"1000000", 1000000},
	{"2**53", 1 << 53}, {"2**53+1", 1<<53 + 1}, {"2**63-1", math.MaxInt64}, {"-2**63+1", math.MinInt64 + 1}, {"-2**63", math.MinInt64},
	{"2**63", power(2, 63)}, {"-2**63-1", plus(new(big.Int).Neg(power(2, 63)), -1)}, {"2**64-1", plus(power(2, 64), -1)},
	{"2**64", power(2, 64)}, {"2**64+1", plus(power(2, 64), 1)}, {"10**400", power(10, 400)}, {"-10**400", new(big.Int).Neg(power(10, 400))},
	{"3**100", power(3, 100)}, {"2**53246", power(2, 53246)}, {"2**53247", power(2, 53247)}, {"2**60000+2**59900", new(big.Int).Add(power(2, 60000), power(2, 59900))},
	{"-2**60000", new(big.Int).Neg(power(2, 60000))},
	{"0.0", 0.0}, {"-0.0", math.Copysign(0, -1)}, {"1.0", 1.0}, {"-2.0", -2.0}, {"0.5", 0.5}, {"0.1", 0.1}, {"-0.1", -0.1}, {"1.5", 1.5},
	{"1e300", 1e300}, {"1e-300", 1e-300}, {"5e-324", math.SmallestNonzeroFloat64}, {"-5e-324", -math.SmallestNonzeroFloat64},
	{"2.2250738585072014e-308", 0x1p-1022}, {"2.225073858507201e-308", math.Nextafter(0x1p-1022, 0)},
	{"1.7976931348623157e+308", math.MaxFloat64}, {"4503599627370496.5", 4503599627370496.5}, {"float('inf')", math.Inf(1)},
	{"float('-inf')", math.Inf(-1)}, {"float('nan')", math.NaN()},
	{"''", ""}, {"'a'", "a"}, {"'a\\0b'", "a\x00b"}, {"'h\\xe9llo'", "h\u00e9llo"}, {"'\\u20ac'", "\u20ac"}, {"'\\uffff'", "\uffff"},
	{"'\\U0001f600'", "\U0001F600"}, {"'\\ud800'", "\xed\xa0\x80"}, {"'\\ud83d\\ude00'", "\xed\xa0\xbd\xed\xb8\x80"}, {"'x'*600", strings.Repeat("x", 600)},
	{"b''", []byte{}}, {"b'a'", []byte("a")}, {"b'\\0\\1\\xff'", []byte{0, 1, 255}},
	{"()", Tuple{}}, {"(None,)", Tuple{nil}}, {"(1, 'a', b'b')", Tuple{1, "a", []byte("b")}}, {"('', '\\0', 'a\\0\\1')", Tuple{"", "\x00", "a\x00\x01"}},
	{"('\\xe9\\0', b'\\0\\0')", Tuple{"\u00e9\x00", []byte{0, 0}}}, {"((), ((),), (1, (2, -3)))", Tuple{Tuple{}, Tuple{Tuple{}}, Tuple{1, Tuple{2, -3}}}},
	{"(1.5, -0.1, 10**30)", Tuple{1.5, -0.1, power(10, 30)}}, {"(True,)", Tuple{true}}, {"(1.0, (-0.0, 'a'), -10**20)", Tuple{1.0, Tuple{math.Copysign(0, -1), "a"}, new(big.Int).Neg(power(10, 20))}},
	{"tuple(range(-10, 10))", Tuple{-10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	{"frozenset()", Frozenset{}}, {"frozenset({1, 'a', None})", Frozenset{1, "a", nil}}, {"frozenset({1.5, frozenset({2})})", Frozenset{1.5, Frozenset{2}}},
	{"frozenset({False, 'b'})", Frozenset{false, "b"}}, {"(frozenset({'\\0'}), 1)", Tuple{Frozenset{"\x00"}, 1}},
}

func TestVectors(t *testing.T) {
	vectors := []vector{}
	for _, v := range vectorKeys {
		encoded, own, err := EncodeKey(nil, v.key)
		if err != nil {
			t.Fatal(v.python, err)
		}
		_, scalar := v.key.(bool)
		if _, is := v.key.(float64); is {
			scalar = true
		}
		vectors = append(vectors, vector{v.python, hex.EncodeToString(encoded), hex.EncodeToString(own), own != nil && !scalar})
	}
	text := []byte("[\n")
	for i, v := range vectors {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			text = append(text, ",\n"...)
		}
		text = append(text, line...)
	}
	text = append(text, "\n]\n"...)
	const path = "testdata/vectors.json"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, text) {
		t.Fatal("encodings differ from testdata/vectors.json: the format has changed, which needs a new FormatVersion; if it is meant, run with -update")
	}
}
