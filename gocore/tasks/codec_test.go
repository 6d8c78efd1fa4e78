package tasks

import (
	"bytes"
	"math"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

func anyRecord(t *rapid.T) Record {
	return Record{
		State:     State(rapid.IntRange(1, 6).Draw(t, "state")),
		Asyncable: UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "asyncable")),
		Queue:     rapid.StringN(0, 60, 60).Draw(t, "queue"),
		Priority:  rapid.Int8().Draw(t, "priority"),
		Created:   rapid.Int64().Draw(t, "created"),
		Due:       rapid.Int64().Draw(t, "due"),
		Start:     rapid.Int64().Draw(t, "start"),
		End:       rapid.Int64().Draw(t, "end"),
		Token:     rapid.Uint64().Draw(t, "token"),
		Attempt:   rapid.Uint32().Draw(t, "attempt"),
		Retries:   rapid.Uint32().Draw(t, "retries"),
		Worker:    rapid.Uint64().Draw(t, "worker"),
		PID:       int(rapid.Int32().Draw(t, "pid")),
		Detail:    rapid.StringN(0, 300, -1).Draw(t, "detail"),
		Flags:     Flags(rapid.Uint32().Draw(t, "flags")),
	}
}

func seal(key, content []byte) []byte {
	value := append(make([]byte, sealSize), content...)
	sum := crcOf(key, content)
	value[0], value[1], value[2], value[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return value
}

func TestRecordsComeBackAndTheLibraryReadsThem(t *testing.T) {
	key := []byte("k")
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		content := r.encode(nil)
		var back Record
		if err := back.decode(0, key, seal(key, content)); err != nil || back != r {
			t.Fatalf("%+v is read as %+v (%v)", r, back, err)
		}
		var fields map[int]any
		if err := msgpack.Unmarshal(content, &fields); err != nil {
			t.Fatal(err)
		}
		if r.Detail != "" && fields[fieldDetail] != r.Detail {
			t.Fatalf("the library reads %v", fields[fieldDetail])
		}
		if got, ok := fields[fieldAsyncable].([]byte); !ok || !bytes.Equal(got, r.Asyncable[:]) {
			t.Fatalf("the library reads %v", fields[fieldAsyncable])
		}
	})
}

func TestFieldsOfALaterVersionArePassedOver(t *testing.T) {
	fields := map[int]any{
		fieldState: int(Running), fieldCreated: int64(-5), fieldQueue: "q",
		90: nil, 91: true, 92: math.Pi, 93: float32(1), 94: []any{1, "x", []byte{2}}, 95: map[string]any{"a": []int{1}},
		96: -1, 97: -200, 98: math.MinInt32, 99: math.MinInt64, 100: uint64(math.MaxUint64),
		101: bytes.Repeat([]byte{1}, 300), 102: string(bytes.Repeat([]byte{'a'}, 70000)), 103: make([]int, 20), 104: &msgpack.RawMessage{0xD4, 5, 1},
		105: msgpack.RawMessage{0xC7, 2, 1, 0, 0}, 300: 70000, 70000: "far",
	}
	content, err := msgpack.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("k")
	var r Record
	if err := r.decode(1, key, seal(key, content)); err != nil {
		t.Fatal(err)
	}
	if r.State != Running || r.Created != -5 || r.Queue != "q" {
		t.Fatalf("%+v", r)
	}
}

// FuzzDecode: hostile content behind a good seal must neither panic nor hang.
func FuzzDecode(f *testing.F) {
	r := Record{State: Running, Queue: "q", Detail: "d", Token: 1 << 40}
	f.Add(r.encode(nil))
	f.Add([]byte{0xDF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Add(bytes.Repeat([]byte{0x91}, 1000))
	key := []byte("k")
	f.Fuzz(func(t *testing.T, content []byte) {
		value := seal(key, content)
		var r Record
		_ = r.decode(1, key, value)
		_, _ = r.decodeCall(key, value)
		_ = (&Store{}).readFormat(seal(keyFormat, content))
		for i := range value[:min(len(value), 64)] {
			value[i] ^= 0x40
			if _, err := unseal(key, value); err == nil {
				t.Fatalf("a flipped bit in byte %d went unseen", i)
			}
			value[i] ^= 0x40
		}
	})
}
