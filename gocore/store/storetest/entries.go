package storetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

var entryTests = []test{
	{"PutThenGetGivesTheValue", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		write(t, space, func(txn store.Txn) {
			hasNot(t, txn, "a")
			putIn(t, txn, "a", "1", "b", "2", "a", "3")
			has(t, txn, "a", "3") // its own writes, before the commit
		})
		with(t, space, store.Read, func(txn store.Txn) {
			has(t, txn, "a", "3")
			has(t, txn, "b", "2")
			hasNot(t, txn, "aa")
		})
	}},
	{"PutReportsWhetherTheKeyWasNew", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "old", "")
		write(t, space, func(txn store.Txn) {
			for _, c := range []struct {
				key  string
				want bool
			}{{"old", false}, {"new", true}, {"new", false}} {
				fresh, err := txn.Put([]byte(c.key), []byte("v"))
				ok(t, err)
				equal(t, "fresh of "+c.key, fresh, c.want)
			}
			_, err := txn.Del([]byte("old"))
			ok(t, err)
			fresh, err := txn.Put([]byte("old"), nil)
			ok(t, err)
			equal(t, "fresh after a delete", fresh, true)
		})
	}},
	{"ValuesOfAnyLengthAndBytes", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		lengths := []int{0, 1, 7, 100, 2000, 2040, 4080, 4096, 5000, 100_000, 5 << 20}
		write(t, space, func(txn store.Txn) {
			for _, n := range lengths {
				_, err := txn.Put(fmt.Appendf(nil, "%d", n), pattern(n))
				ok(t, err)
			}
		})
		with(t, space, store.Read, func(txn store.Txn) {
			for _, n := range lengths {
				has(t, txn, fmt.Sprint(n), string(pattern(n)))
			}
		})
		write(t, space, func(txn store.Txn) { // shorter and longer in place
			for i, n := range lengths {
				_, err := txn.Put(fmt.Appendf(nil, "%d", n), pattern(lengths[len(lengths)-1-i]))
				ok(t, err)
			}
		})
		with(t, space, store.Read, func(txn store.Txn) {
			for i, n := range lengths {
				has(t, txn, fmt.Sprint(n), string(pattern(lengths[len(lengths)-1-i])))
			}
		})
	}},
	{"TheStoreKeepsItsOwnCopy", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		key, value := []byte("key"), []byte("value")
		entries := []store.Entry{{Key: []byte("many"), Value: []byte("more")}}
		write(t, space, func(txn store.Txn) {
			_, err := txn.Put(key, value)
			ok(t, err)
			_, err = txn.PutMany(entries)
			ok(t, err)
			for _, s := range [][]byte{key, value, entries[0].Key, entries[0].Value} {
				clear(s)
			}
		})
		with(t, space, store.Read, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}), "key=value many=more")
		})
	}},
	{"KeysOfOneToMaxKeyBytes", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		long := strings.Repeat("k", store.MaxKey)
		put(t, space, "\x00", "shortest", long, "longest", "\xff", "high")
		with(t, space, store.Read, func(txn store.Txn) {
			has(t, txn, "\x00", "shortest")
			has(t, txn, long, "longest")
			hasNot(t, txn, long[1:])
			// In batches of one the rest begins with a key of MaxKey+1 bytes.
			var keys []string
			for _, e := range scanAll(t, txn, store.Range{}, 1) {
				keys = append(keys, string(e.Key))
			}
			equal(t, "keys", strings.Join(keys, " "), "\x00 "+long+" \xff")
			keys = nil
			for _, e := range scanAll(t, txn, store.Range{Reverse: true}, 1) {
				keys = append(keys, string(e.Key))
			}
			equal(t, "keys in reverse", strings.Join(keys, " "), "\xff "+long+" \x00")
		})
	}},
	{"AKeyOfNoBytesOrTooManyIsRefused", refusesBadKeys},
	{"DelReportsWhetherTheKeyWasThere", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "b", "2")
		write(t, space, func(txn store.Txn) {
			for _, c := range []struct {
				key  string
				want bool
			}{{"a", true}, {"a", false}, {"c", false}} {
				was, err := txn.Del([]byte(c.key))
				ok(t, err)
				equal(t, "delete of "+c.key, was, c.want)
			}
			equal(t, "content", content(t, txn, store.Range{}), "b=2")
		})
		with(t, space, store.Read, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}), "b=2")
		})
	}},
	{"ReserveGivesMemoryToFill", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "old", "value")
		lengths := []int{0, 1, 300, 5000, 1 << 20}
		write(t, space, func(txn store.Txn) {
			for _, n := range lengths {
				memory, fresh, err := txn.Reserve(fmt.Appendf(nil, "r%d", n), n)
				ok(t, err)
				equal(t, "length", len(memory), n)
				equal(t, "fresh", fresh, true)
				copy(memory, pattern(n))
			}
			memory, fresh, err := txn.Reserve([]byte("old"), 3)
			ok(t, err)
			equal(t, "fresh of a known key", fresh, false)
			copy(memory, "new")
			has(t, txn, "old", "new")
		})
		with(t, space, store.Read, func(txn store.Txn) {
			has(t, txn, "old", "new")
			for _, n := range lengths {
				has(t, txn, fmt.Sprintf("r%d", n), string(pattern(n)))
			}
		})
	}},
	{"ReserveMayBeTheLastCallBeforeCommit", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		write(t, space, func(txn store.Txn) {
			memory, _, err := txn.Reserve([]byte("k"), 4)
			ok(t, err)
			copy(memory, "last")
		})
		with(t, space, store.Read, func(txn store.Txn) { has(t, txn, "k", "last") })
	}},
	{"GetManyGivesNilForAMissingKeyOnly", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "empty", "", "c", "3")
		with(t, space, store.Read, func(txn store.Txn) {
			keys := [][]byte{[]byte("c"), []byte("no"), []byte("empty"), []byte("a"), []byte("a")}
			values := [][]byte{nil, []byte("stale"), nil, []byte("stale"), nil}
			ok(t, txn.GetMany(keys, values))
			for i, want := range []string{"3", "", "", "1", "1"} {
				sameBytes(t, string(keys[i]), values[i], []byte(want))
			}
			if values[1] != nil || values[2] == nil {
				t.Errorf("missing must be nil (is %v), empty must not be (is %v)", values[1], values[2])
			}
			ok(t, txn.GetMany(nil, nil))
		})
	}},
	{"PutManyCountsNewKeysAndTheLastValueWins", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "b", "old")
		write(t, space, func(txn store.Txn) {
			fresh, err := txn.PutMany([]store.Entry{
				{Key: []byte("c"), Value: []byte("first")}, // in no order
				{Key: []byte("a"), Value: []byte("1")},
				{Key: []byte("b"), Value: []byte("2")},
				{Key: []byte("c"), Value: []byte("3")},
			})
			ok(t, err)
			equal(t, "fresh", fresh, 2)
			fresh, err = txn.PutMany(nil)
			ok(t, err)
			equal(t, "fresh of nothing", fresh, 0)
		})
		with(t, space, store.Read, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}), "a=1 b=2 c=3")
		})
	}},
	{"NextSeqCountsFromOneForEachCounter", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for want := uint64(1); want <= 3; want++ {
			write(t, space, func(txn store.Txn) {
				equal(t, "x", nextSeq(t, txn, "\x04x"), 2*want-1)
				equal(t, "x", nextSeq(t, txn, "\x04x"), 2*want)
				equal(t, "y", nextSeq(t, txn, "\x04y"), want)
			})
		}
		with(t, space, store.Read, func(txn store.Txn) {
			value, err := txn.Get([]byte("\x04x"))
			ok(t, err)
			sameBytes(t, "the counter's entry", value, binary.BigEndian.AppendUint64(nil, 6))
		})
	}},
	{"NextSeqNeverCommitsANumberTwice", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		var last uint64
		for round := range 12 {
			with(t, space, store.Write, func(txn store.Txn) {
				ok(t, txn.Savepoint())
				first := nextSeq(t, txn, "\x04n")
				if round%3 == 0 {
					ok(t, txn.Rollback())
				}
				drawn := nextSeq(t, txn, "\x04n")
				if first <= last || drawn <= last {
					t.Fatalf("drew %d and %d after %d was committed", first, drawn, last)
				}
				if round%2 == 0 {
					ok(t, txn.Commit())
					last = drawn
				}
			})
		}
	}},
	{"ACounterThatIsNoneIsCorrupt", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "\x04bad", "seven b")
		with(t, space, store.Write, func(txn store.Txn) {
			_, err := txn.NextSeq([]byte("\x04bad"))
			fails(t, err, errs.Corrupt)
		})
	}},
}

func nextSeq(t tb, txn store.Txn, counter string) uint64 {
	t.Helper()
	n, err := txn.NextSeq([]byte(counter))
	ok(t, err)
	return n
}

// pattern is n bytes that differ from place to place and from n to n.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8 + n)
	}
	return p
}

func refusesBadKeys(t *testing.T, b store.Backend) {
	space := openSpace(t, b)
	put(t, space, "good", "1")
	for _, c := range []struct {
		key  []byte
		want errs.Code
	}{
		{nil, errs.InvalidArgument},
		{[]byte{}, errs.InvalidArgument},
		{bytes.Repeat([]byte("k"), store.MaxKey+1), errs.TooBig},
		{bytes.Repeat([]byte("k"), 70_000), errs.TooBig},
	} {
		write(t, space, func(txn store.Txn) {
			_, err := txn.Put(c.key, []byte("v"))
			fails(t, err, c.want)
			_, _, err = txn.Reserve(c.key, 1)
			fails(t, err, c.want)
			_, err = txn.PutMany([]store.Entry{{Key: []byte("before")}, {Key: c.key}, {Key: []byte("after")}})
			fails(t, err, c.want)
			_, err = txn.NextSeq(c.key)
			fails(t, err, c.want)
			_, err = txn.Del(c.key)
			fails(t, err, c.want)
			_, err = txn.Get(c.key)
			fails(t, err, c.want)
			fails(t, txn.GetMany([][]byte{[]byte("good"), c.key}, make([][]byte, 2)), c.want)
		})
		_, pin, err := space.Peek(c.key, nil)
		fails(t, err, c.want)
		if pin != nil {
			t.Fatalf("a failed Peek left a transaction open")
		}
	}
	with(t, space, store.Read, func(txn store.Txn) {
		equal(t, "content", content(t, txn, store.Range{}), "good=1")
	})
}
