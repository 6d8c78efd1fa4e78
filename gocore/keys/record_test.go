package keys

import (
	"bytes"
	"math"
	"math/big"
	"testing"

	"parkit/gocore/errs"

	"pgregory.net/rapid"
)

func TestEntryRecordsRoundTripAndShowDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dbkey := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "key")
		own := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "own")
		head := rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "head")
		body := bytes.Repeat([]byte{7, 8, 9}, rapid.SampledFrom([]int{0, 1, 50, large, large + 1}).Draw(t, "body"))
		record := make([]byte, SealSize(len(own), len(head)+len(body)))
		Seal(record, dbkey, 0, own, head, body)
		_, gotOwn, value, err := Open(dbkey, record)
		if err != nil || !bytes.Equal(gotOwn, own) || !bytes.Equal(value, append(head, body...)) {
			t.Fatalf("read back %x, %v", gotOwn, err)
		}
		at := rapid.IntRange(0, len(record)-1).Draw(t, "damaged byte")
		record[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "damaged bit")
		if _, _, _, err := Open(dbkey, record); !errs.Has(err, errs.Corrupt) {
			t.Fatalf("damage at %d not seen: %v", at, err)
		}
		if _, _, _, err := Open(append(dbkey, 0), record); !errs.Has(err, errs.Corrupt) {
			t.Fatal("a record under another key passed")
		}
	})
}

func TestEntryOfUnknownFlagsIsOfANewerFormat(t *testing.T) {
	record := make([]byte, SealSize(0, 1))
	Seal(record, []byte("k"), 0x40, nil, []byte{1})
	if _, _, _, err := Open([]byte("k"), record); !errs.Has(err, errs.NewerFormat) {
		t.Fatal(err)
	}
}

func TestStateAndPayloadRecords(t *testing.T) {
	dbkey := StateKey(ObjectPrefix(300))
	sequence := State{Flags: 2 | StateSequence, Version: 3, Length: 7, Next: math.MaxUint64, Limit: 9, Pending: 11}
	record := make([]byte, SequenceStateSize)
	if n := PutState(record, dbkey, sequence); n != SequenceStateSize {
		t.Fatal(n)
	}
	if got, err := ParseState(dbkey, record); err != nil || got != sequence {
		t.Fatal(got, err)
	}
	if _, err := ParseState(dbkey, record[:StateSize]); !errs.Has(err, errs.Corrupt) {
		t.Fatal(err)
	}
	want := State{Flags: 5, Version: math.MaxUint64, Length: 7}
	record = record[:PutState(record, dbkey, want)]
	if got, err := ParseState(dbkey, record); err != nil || got != want || len(record) != StateSize {
		t.Fatal(got, err)
	}
	record[9] ^= 1
	if _, err := ParseState(dbkey, record); !errs.Has(err, errs.Corrupt) || !bytes.Contains([]byte(err.Error()), []byte("state of object 300")) {
		t.Fatal(err)
	}
	record = SealPayload(DescriptorKey(1), []byte("abc"))
	if got, err := OpenPayload(DescriptorKey(1), record); err != nil || string(got) != "abc" {
		t.Fatal(got, err)
	}
	if _, err := OpenPayload(DescriptorKey(2), record); !errs.Has(err, errs.Corrupt) {
		t.Fatal(err)
	}
}

func TestReadingARecordAllocatesNothing(t *testing.T) {
	dbkey, value := []byte("some key"), []byte("some value")
	record := make([]byte, SealSize(3, len(value)))
	state := make([]byte, StateSize)
	entry := make([]byte, 0, MaxKey)
	if n := testing.AllocsPerRun(100, func() {
		entry, _ = AppendEntryKey(entry[:0], dbkey, TagDict, value)
		Seal(record, entry, 0, value[:3], value[:2], value[2:])
		if _, _, _, err := Open(entry, record); err != nil {
			t.Fatal(err)
		}
		PutState(state, entry, State{})
		if _, err := ParseState(entry, state); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestObjectKeys(t *testing.T) {
	last := []byte(nil)
	for _, id := range []uint64{1, 2, 255, 256, 65535, 65536, 1 << 40, math.MaxUint64} {
		prefix := ObjectPrefix(id)
		if len(prefix) > MaxPrefix || bytes.Compare(last, prefix) >= 0 {
			t.Fatalf("prefix of %d is %x after %x", id, prefix, last)
		}
		got, tag, rest, ok := SplitObjectKey(AppendAttrKey(nil, prefix, "name"))
		if !ok || got != id || tag != TagAttr || string(rest) != "name" {
			t.Fatal(got, tag, rest, ok)
		}
		last = prefix
	}
}

func TestLongKeysFitAndStayApart(t *testing.T) {
	prefix := ObjectPrefix(1)
	for _, test := range []struct {
		length    int
		shortened bool
	}{{0, false}, {MaxKey - 4, false}, {MaxKey - 3, true}, {MaxKey, true}, {100000, true}} {
		encoded := bytes.Repeat([]byte{'x'}, test.length)
		dbkey, shortened := AppendEntryKey(nil, prefix, TagDict, encoded)
		if shortened != test.shortened || len(dbkey) > MaxKey || Shortened(dbkey) != shortened {
			t.Errorf("an encoding of %d bytes gives %d, shortened %v", test.length, len(dbkey), shortened)
		}
		if again := AppendStoredKey(nil, prefix, TagDict, dbkey[len(prefix)+1:]); !bytes.Equal(again, dbkey) {
			t.Error("the stored form does not lead back")
		}
		if !shortened {
			continue
		}
		// A key made of the shortened form of another is another key.
		if forged, _ := AppendEntryKey(nil, prefix, TagDict, dbkey[len(prefix)+1:]); test.length > MaxKey-3 && bytes.Equal(forged, dbkey) {
			t.Error("two keys meet")
		}
	}
	text := string(bytes.Repeat([]byte{'y'}, 600))
	encoded := mustEncode(t, text)
	if back, err := DecodeValue(OwnKey(nil, encoded, true)); err != nil || back != text {
		t.Errorf("a shortened key came back as %v, %v", back, err)
	}
}

func TestValuesRoundTrip(t *testing.T) {
	for _, v := range []any{nil, true, false, int64(0), int64(-32), int64(-33), int64(127), int64(128), int64(255), int64(256),
		int64(65535), int64(65536), int64(math.MaxUint32), int64(1 << 32), int64(math.MaxInt64), int64(-128), int64(-129),
		int64(-32769), int64(math.MinInt32), int64(math.MinInt32 - 1), int64(math.MinInt64), 1.5, "", "abc", string(make([]byte, 40)), string(make([]byte, 300)),
		string(make([]byte, 70000))} {
		p, err := AppendValue(nil, v)
		if back, e := DecodeValue(p); err != nil || e != nil || back != v {
			t.Errorf("%v is %x, and came back as %v: %v, %v", v, clip(p), back, err, e)
		}
	}
	for _, n := range []int{0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65536} {
		for _, v := range []any{make([]byte, n), Pickled(make([]byte, n))} {
			p, _ := AppendValue(nil, v)
			back, err := DecodeValue(p)
			if raw, ok := back.(Pickled); ok {
				back = []byte(raw)
			}
			if err != nil || !bytes.Equal(back.([]byte), make([]byte, n)) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	}
	if p, _ := AppendValue(nil, new(big.Int).SetUint64(math.MaxUint64)); !bytes.Equal(p, []byte{0xCF, 255, 255, 255, 255, 255, 255, 255, 255}) {
		t.Errorf("%x", p)
	}
}

func FuzzReadersNeverPanic(f *testing.F) {
	f.Add([]byte("key"), []byte("record"))
	record := make([]byte, SealSize(3, 3))
	Seal(record, []byte("key"), 0, []byte("own"), []byte("val"))
	f.Add([]byte("key"), record)
	f.Add(StateKey(ObjectPrefix(1)), make([]byte, StateSize))
	f.Fuzz(func(_ *testing.T, dbkey, record []byte) {
		Open(dbkey, record)
		Split(dbkey, record)
		ParseState(dbkey, record)
		OpenPayload(dbkey, record)
		Verify(dbkey, record)
		Verify(record, dbkey)
		DecodeValue(record)
		Describe(record)
	})
}

func BenchmarkSealAndOpen(b *testing.B) {
	dbkey, value := []byte("\x21\x01\x02 some key"), []byte("some value")
	record := make([]byte, SealSize(0, len(value)))
	for b.Loop() {
		Seal(record, dbkey, 0, nil, value)
		Open(dbkey, record)
	}
}

func BenchmarkEncodeInt(b *testing.B) {
	dst := make([]byte, 0, 64)
	for b.Loop() {
		dst = appendInt(dst[:0], 123456)
	}
}
