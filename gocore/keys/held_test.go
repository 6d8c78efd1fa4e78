package keys

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"parkit/gocore/errs"
)

func TestHeldRoundTripsAndShowsDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dbkey := AppendLeaseKey(nil, ObjectPrefix(7), rapid.Uint64Min(1).Draw(t, "owner"), rapid.Uint64().Draw(t, "id"))
		some := rapid.SliceOfN(rapid.Byte(), 0, 700)
		held := Held{
			Attempts: rapid.Uint64().Draw(t, "attempts"), Time: rapid.Int64().Draw(t, "time"),
			Place: some.Draw(t, "place"), Own: some.Draw(t, "own"), Why: rapid.String().Draw(t, "why"), Value: some.Draw(t, "value"),
		}
		head := AppendHeld(nil, &held)
		record := make([]byte, SealSize(0, len(head)+len(held.Value)))
		Seal(record, dbkey, 0, nil, head, held.Value)
		if err := Verify(dbkey, record); err != nil {
			t.Fatal(err)
		}
		got, err := OpenHeld(dbkey, record)
		if err != nil || !reflect.DeepEqual(got, held) {
			t.Fatalf("%v: %+v, want %+v", err, got, held)
		}
		record[rapid.IntRange(0, len(record)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := OpenHeld(dbkey, record); !errs.Has(err, errs.Corrupt) {
			t.Fatalf("damage: %v", err)
		}
		// A sound record with something else in it.
		short := make([]byte, SealSize(0, rapid.IntRange(0, len(head)-1).Draw(t, "cut")))
		Seal(short, dbkey, 0, nil, head[:len(short)-EntryOverhead])
		if _, err := OpenHeld(dbkey, short); !errs.Has(err, errs.Corrupt) {
			t.Fatalf("cut short: %v", err)
		}
	})
}

func TestKeysOfLeasesAreInTheirOrder(t *testing.T) {
	prefix := ObjectPrefix(300)
	for i, rest := range [][]byte{
		AppendDeadlineKey(nil, prefix, 5, math.MaxUint64), AppendDeadlineKey(nil, prefix, 6, 1),
		AppendLeaseKey(nil, prefix, 1, 9), AppendLeaseKey(nil, prefix, 2, 3), AppendLeaseKey(nil, prefix, math.MaxUint64, 0),
	} {
		rest = rest[len(prefix)+1:]
		owner, deadline, lease, ok := SplitLeaseKey(rest)
		want := [][3]uint64{{0, 5, math.MaxUint64}, {0, 6, 1}, {1, 0, 9}, {2, 0, 3}, {math.MaxUint64, 0, 0}}[i]
		if !ok || [3]uint64{owner, uint64(deadline), lease} != want {
			t.Errorf("%x: %d %d %d %v", rest, owner, deadline, lease, ok)
		}
	}
	if bytes.Compare(AppendDeadlineKey(nil, prefix, math.MaxInt64, math.MaxUint64), AppendLeaseKey(nil, prefix, 1, 0)) >= 0 {
		t.Error("a deadline is behind a lease")
	}
	for _, rest := range [][]byte{nil, make([]byte, 15), make([]byte, 16), append([]byte{1}, make([]byte, 23)...)} {
		if _, _, _, ok := SplitLeaseKey(rest); ok {
			t.Errorf("%x is taken for the key of a lease", rest)
		}
	}
}

func TestAttemptsStandBeforeTheOwnKey(t *testing.T) {
	encoded := bytes.Repeat([]byte{'x'}, 600)
	for _, own := range [][]byte{nil, OwnKey(nil, encoded, true)} {
		for _, attempts := range []uint64{0, 1, 127, 128, 255, 256, 70_000, 1 << 40, math.MaxInt64} {
			got, key := SplitAttempts(AppendAttempts(attempts, own))
			if got != attempts || !bytes.Equal(key, own) {
				t.Errorf("%d: %d, %d bytes", attempts, got, len(key))
			}
		}
		found, ok := EncodedOf(own)
		if ok != (own != nil) || ok && !bytes.Equal(found, encoded) {
			t.Errorf("own key of %d bytes: %v", len(own), ok)
		}
	}
}

func TestStatesWithLeasesRoundTrip(t *testing.T) {
	dbkey, record := StateKey(ObjectPrefix(1)), make([]byte, MaxStateSize)
	state := State{Flags: 3 | StateSequence | StateLeases, Version: 1, Length: 2, Next: 3, Limit: 4, Pending: 5, Leased: 6, Dead: 7, Attempts: 8}
	n := PutState(record, dbkey, state)
	if got, err := ParseState(dbkey, record[:n]); err != nil || got != state || n != LeasesStateSize {
		t.Fatal(n, got, err)
	}
}
