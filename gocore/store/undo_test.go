package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parkit/gocore/errs"
)

// entries is a store as Undo sees it: a map that it can put and delete in.
type entries map[string]string

func (e entries) set(u *Undo, key, value string) {
	old, existed := e[key]
	u.Record([]byte(key), []byte(old), existed)
	e[key] = value
}

func (e entries) remove(u *Undo, key string) {
	if old, existed := e[key]; existed {
		u.Record([]byte(key), []byte(old), true)
		delete(e, key)
	}
}

func (e entries) rollback(u *Undo) error {
	return u.Rollback(
		func(key, value []byte) error { e[string(key)] = string(value); return nil },
		func(key []byte) error { delete(e, string(key)); return nil },
	)
}

func TestUndoKeepsNothingWithoutASavepoint(t *testing.T) {
	var u Undo
	key := []byte("key")
	if u.Active() || u.Needs(key) {
		t.Error("a new Undo must be inactive")
	}
	if n := testing.AllocsPerRun(100, func() { u.Record(key, key, true) }); n != 0 {
		t.Errorf("an inactive Record allocates %v times", n)
	}
	for name, err := range map[string]error{
		"Rollback": entries{}.rollback(&u),
		"Release":  u.Release(),
	} {
		if !errs.Has(err, errs.BadTransaction) {
			t.Errorf("%s without a savepoint: got %v, want code bad transaction", name, err)
		}
	}
}

func TestUndoKeepsTheFirstOverwriteOnly(t *testing.T) {
	for _, keys := range []int{1, linearKeys, linearKeys + 1, 100} { // both ways to find a key
		var u Undo
		u.Mark()
		for round := range 3 {
			for k := range keys {
				key := fmt.Appendf(nil, "%d", k)
				if u.Needs(key) != (round == 0) {
					t.Fatalf("%d keys, round %d: Needs(%s) is %v", keys, round, key, u.Needs(key))
				}
				u.Record(key, fmt.Appendf(nil, "round %d", round), true)
			}
		}
		if len(u.entries) != keys {
			t.Fatalf("%d entries for %d keys", len(u.entries), keys)
		}
		for _, e := range u.entries {
			if string(e.old) != "round 0" {
				t.Fatalf("kept %q, not the first old value", e.old)
			}
		}
		known := []byte("0")
		if n := testing.AllocsPerRun(100, func() { u.Record(known, known, true) }); n != 0 {
			t.Errorf("recording a known key allocates %v times", n)
		}
	}
}

func TestUndoReleaseKeepsTheOuterOnesFirstOverwrite(t *testing.T) {
	for _, keys := range []int{1, linearKeys + 1} {
		var u Undo
		record := func(value string) {
			for k := range keys {
				u.Record(fmt.Appendf(nil, "%d", k), []byte(value), true)
			}
		}
		u.Mark()
		record("outer")
		for range 3 {
			u.Mark()
			record("inner")
			u.Record([]byte("more"), []byte("inner"), true)
			if err := u.Release(); err != nil {
				t.Fatal(err)
			}
		}
		if len(u.entries) != keys+1 || string(u.entries[0].old) != "outer" {
			t.Errorf("%d entries for %d keys, the first %q", len(u.entries), keys+1, u.entries[0].old)
		}
	}
}

func TestUndoCopiesWhatItRecords(t *testing.T) {
	var u Undo
	key, old := []byte("key"), []byte("old")
	u.Mark()
	u.Record(key, old, true)
	clear(key)
	clear(old)
	e := entries{"key": "new"}
	if err := e.rollback(&u); err != nil || e["key"] != "old" {
		t.Errorf("got %v with error %v, want the old value back", e, err)
	}
}

func TestUndoRollsBackTheLastOverwrittenFirst(t *testing.T) {
	var u Undo
	u.Mark()
	for _, key := range []string{"a", "b", "c"} {
		u.Record([]byte(key), nil, key == "b")
	}
	var order []string
	err := u.Rollback(
		func(key, value []byte) error {
			if value == nil {
				t.Error("an empty old value must not come back as nil")
			}
			order = append(order, "put "+string(key))
			return nil
		},
		func(key []byte) error { order = append(order, "del "+string(key)); return nil },
	)
	if got := strings.Join(order, ", "); err != nil || got != "del c, put b, del a" {
		t.Errorf("got %s with error %v", got, err)
	}
	if u.Active() {
		t.Error("the savepoint must be gone")
	}
}

func TestUndoPassesOnWhatFails(t *testing.T) {
	full := errs.New(errs.Full, "", "", "")
	for _, existed := range []bool{false, true} {
		var u Undo
		u.Mark()
		u.Record([]byte("k"), []byte("v"), existed)
		err := u.Rollback(func(_, _ []byte) error { return full }, func([]byte) error { return full })
		if err != error(full) {
			t.Errorf("got %v, want the error of put or del", err)
		}
		u.Reset()
		if u.Active() || len(u.entries) != 0 {
			t.Error("Reset must forget everything")
		}
	}
}

func TestUndoHoldsNoMemoryAfterTheOutermostEnds(t *testing.T) {
	for _, end := range []func(*Undo) error{(*Undo).Release, entries{}.rollback} {
		var u Undo
		u.Mark()
		u.Mark()
		for i := range 50 {
			u.Record(fmt.Appendf(nil, "%d", i), bytes.Repeat([]byte{1}, 100), true)
		}
		for u.Active() {
			if err := end(&u); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range u.entries[:cap(u.entries)] {
			if e.key != "" || e.old != nil {
				t.Fatalf("still holds %q", e.key)
			}
		}
	}
}

func TestUndoAgreesWithCopiesOfTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u Undo
		now := entries{}
		var saved []entries
		// More keys than linearKeys, so that a mark may change its ways.
		keyGen := rapid.Map(rapid.IntRange(0, 3*linearKeys), func(n int) string { return fmt.Sprint(n) })
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if u.Active() != (len(saved) > 0) {
					t.Fatalf("Active is %v with %d savepoints", u.Active(), len(saved))
				}
			},
			"set": func(t *rapid.T) {
				now.set(&u, keyGen.Draw(t, "key"), rapid.StringN(0, 3, -1).Draw(t, "value"))
			},
			"set many": func(t *rapid.T) {
				for _, key := range rapid.SliceOfN(keyGen, 1, 20).Draw(t, "keys") {
					now.set(&u, key, "many")
				}
			},
			"remove": func(t *rapid.T) { now.remove(&u, keyGen.Draw(t, "key")) },
			"mark": func(*rapid.T) {
				u.Mark()
				saved = append(saved, maps.Clone(now))
			},
			"rollback": func(t *rapid.T) {
				if len(saved) == 0 {
					t.Skip("no savepoint")
				}
				if err := now.rollback(&u); err != nil {
					t.Fatal(err)
				}
				want := saved[len(saved)-1]
				saved = saved[:len(saved)-1]
				if !maps.Equal(now, want) {
					t.Fatalf("rolled back to %v, want %v", now, want)
				}
			},
			"release": func(t *rapid.T) {
				if len(saved) == 0 {
					t.Skip("no savepoint")
				}
				if err := u.Release(); err != nil {
					t.Fatal(err)
				}
				saved = slices.Delete(saved, len(saved)-1, len(saved))
			},
		})
	})
}

func BenchmarkUndoInactive(b *testing.B) {
	var u Undo
	key := []byte("key")
	for b.Loop() {
		u.Record(key, key, true)
	}
}

// The savepoint around each caller of a grouped Update: three writes, kept.
func BenchmarkUndoOfAShortSavepoint(b *testing.B) {
	var u Undo
	keys := [][]byte{[]byte("state of object"), []byte("entry of dict"), []byte("counter")}
	b.ReportAllocs()
	for b.Loop() {
		u.Mark()
		for _, key := range keys {
			u.Record(key, key, true)
		}
		_ = u.Release() // a savepoint is open
	}
}
