package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

var rangeTests = []test{
	{"ScanRunsOverTheRangeInItsDirection", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "b", "2", "a", "1", "d", "4", "c", "3", "ba", "x", "\xff\xff", "end")
		with(t, space, store.Read, func(txn store.Txn) {
			for _, c := range []struct{ lo, hi, want string }{
				{"", "", "a=1 b=2 ba=x c=3 d=4 \xff\xff=end"},
				{"b", "", "b=2 ba=x c=3 d=4 \xff\xff=end"},
				{"", "c", "a=1 b=2 ba=x"},
				{"b", "d", "b=2 ba=x c=3"},
				{"aa", "cc", "b=2 ba=x c=3"},
				{"b", "b\x00", "b=2"},
				{"b", "b", ""},
				{"d", "a", ""},
				{"e", "f", ""},
				{"\xff\xff\xff", "", ""},
				{"", "\x00", ""},
				{"", "\xff\xff\xff", "a=1 b=2 ba=x c=3 d=4 \xff\xff=end"},
			} {
				r := store.Range{Lo: []byte(c.lo), Hi: []byte(c.hi)}
				equal(t, fmt.Sprintf("scan of [%q, %q)", c.lo, c.hi), content(t, txn, r), c.want)
				r.Reverse = true
				equal(t, fmt.Sprintf("reverse scan of [%q, %q)", c.lo, c.hi), content(t, txn, r), backwards(c.want))
			}
		})
	}},
	{"ScanOfAnEmptySpaceFindsNothing", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for _, mode := range []store.Mode{store.Read, store.Write} {
			with(t, space, mode, func(txn store.Txn) {
				equal(t, "content", content(t, txn, store.Range{}), "")
				equal(t, "content", content(t, txn, store.Range{Reverse: true}), "")
			})
		}
	}},
	{"ScanFillsNoMoreThanDst", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "b", "2", "c", "3")
		with(t, space, store.Read, func(txn store.Txn) {
			for size, want := range []int{0, 1, 2, 3, 3} {
				n, err := txn.Scan(store.Range{}, make([]store.Entry, size))
				ok(t, err)
				equal(t, fmt.Sprintf("entries with room for %d", size), n, want)
			}
		})
	}},
	{"EntriesOfAScanStayValidTogether", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		fillNumbers(t, space, 500)
		with(t, space, store.Read, func(txn store.Txn) {
			dst := make([]store.Entry, 600)
			n, err := txn.Scan(store.Range{}, dst)
			ok(t, err)
			equal(t, "entries", n, 500)
			other := make([]store.Entry, 100)
			_, err = txn.Scan(store.Range{Reverse: true}, other) // a read spoils nothing
			ok(t, err)
			for i, e := range dst[:n] {
				equal(t, "key", string(e.Key), fmt.Sprintf("%06d", i))
				equal(t, "value", string(e.Value), fmt.Sprintf("value %d", i))
			}
		})
	}},
	{"KeysOnlyLeavesValuesNil", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "b", "2")
		for _, reverse := range []bool{false, true} {
			with(t, space, store.Read, func(txn store.Txn) {
				dst := []store.Entry{{Value: []byte("stale")}, {}, {}}
				n, err := txn.Scan(store.Range{KeysOnly: true, Reverse: reverse}, dst)
				ok(t, err)
				equal(t, "entries", n, 2)
				for _, e := range dst[:n] {
					if len(e.Key) != 1 || e.Value != nil {
						t.Errorf("got %q with value %q, want the key alone", e.Key, e.Value)
					}
				}
			})
		}
	}},
	{"BatchesGoOnAcrossAChangingSpace", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for _, reverse := range []bool{false, true} {
			clearSpace(t, space)
			fillNumbers(t, space, 300)
			var seen []string
			with(t, space, store.Write, func(txn store.Txn) {
				r := store.Range{Lo: []byte("000010"), Hi: []byte("000290"), Reverse: reverse}
				dst := make([]store.Entry, 16)
				for {
					n, err := txn.Scan(r, dst)
					ok(t, err)
					batch := make([]string, n)
					for i, e := range dst[:n] {
						batch[i] = string(e.Key)
					}
					seen = append(seen, batch...)
					if n < len(dst) {
						return
					}
					// The batch goes, the last key too; one comes on each side.
					for _, key := range batch {
						_, err := txn.Del([]byte(key))
						ok(t, err)
					}
					putIn(t, txn, batch[0]+"-behind", "", "000000-other", string(pattern(5000)))
					r = r.Rest([]byte(batch[n-1]))
				}
			})
			equal(t, "keys seen", len(seen), 280)
			for i, key := range seen {
				want := i + 10
				if reverse {
					want = 289 - i
				}
				equal(t, "key", key, fmt.Sprintf("%06d", want))
			}
		}
	}},
	{"DelRangeRemovesAndCounts", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for _, c := range []struct {
			lo, hi string
			count  int
			want   string
		}{
			{"b", "d", 2, "a=1 d=4"},
			{"b", "", 3, "a=1"},
			{"", "b", 1, "b=2 c=3 d=4"},
			{"bb", "cc", 1, "a=1 b=2 d=4"},
			{"x", "", 0, "a=1 b=2 c=3 d=4"},
			{"c", "b", 0, "a=1 b=2 c=3 d=4"},
			{"", "", 4, ""},
		} {
			for _, reverse := range []bool{false, true} {
				put(t, space, "a", "1", "b", "2", "c", "3", "d", "4")
				write(t, space, func(txn store.Txn) {
					n, err := txn.DelRange(store.Range{Lo: []byte(c.lo), Hi: []byte(c.hi), Reverse: reverse})
					ok(t, err)
					equal(t, fmt.Sprintf("count of [%q, %q)", c.lo, c.hi), n, c.count)
				})
				with(t, space, store.Read, func(txn store.Txn) {
					equal(t, fmt.Sprintf("left by [%q, %q)", c.lo, c.hi), content(t, txn, store.Range{}), c.want)
				})
			}
		}
	}},
	{"DelRangeOfManyPages", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		fillNumbers(t, space, 5000)
		write(t, space, func(txn store.Txn) {
			_, err := txn.Put([]byte("002500"), pattern(200_000))
			ok(t, err)
			n, err := txn.DelRange(store.Range{Lo: []byte("000100"), Hi: []byte("004900")})
			ok(t, err)
			equal(t, "count", n, 4800)
			equal(t, "left", len(scanAll(t, txn, store.Range{}, 64)), 200)
		})
		with(t, space, store.Read, func(txn store.Txn) {
			equal(t, "left", len(scanAll(t, txn, store.Range{}, 64)), 200)
		})
	}},
	{"TakeFirstRemovesAndCopiesAnEntry", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "0", "q1", "1", "q2", "2", "q3", "3", "r", "9")
		var first, last store.Entry
		write(t, space, func(txn store.Txn) {
			queue := store.Prefix([]byte("q"))
			var err error
			first, err = txn.TakeFirst(queue)
			ok(t, err)
			queue.Reverse = true
			last, err = txn.TakeFirst(queue)
			ok(t, err)
			putIn(t, txn, "q0", "0") // a write, which must not reach the copies
			for _, want := range []string{"q2", "q0"} {
				e, err := txn.TakeFirst(queue)
				ok(t, err)
				equal(t, "key", string(e.Key), want)
			}
			_, err = txn.TakeFirst(queue)
			missing(t, err)
			equal(t, "left", content(t, txn, store.Range{}), "a=0 r=9")
		})
		equal(t, "first, after the end", string(first.Key)+"="+string(first.Value), "q1=1")
		equal(t, "last, after the end", string(last.Key)+"="+string(last.Value), "q3=3")
	}},
	{"RestIsWhatComesAfterTheKey", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "a\x00", "2", "a\x00\x00", "3", "b", "4")
		with(t, space, store.Read, func(txn store.Txn) {
			for _, size := range []int{1, 2, 3} {
				for _, reverse := range []bool{false, true} {
					var got []string
					for _, e := range scanAll(t, txn, store.Range{Reverse: reverse}, size) {
						got = append(got, string(e.Value))
					}
					want := "1 2 3 4"
					if reverse {
						want = backwards(want)
					}
					equal(t, "values in batches", strings.Join(got, " "), want)
				}
			}
		})
	}},
	{"RangesAndSlicesAreNotChanged", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "b", "2", "c", "3")
		lo, hi := []byte("a....")[:1], []byte("c....")[:1]
		with(t, space, store.Write, func(txn store.Txn) {
			r := store.Range{Lo: lo, Hi: hi}
			equal(t, "content", content(t, txn, r), "a=1 b=2")
			_, err := txn.TakeFirst(r)
			ok(t, err)
			_, err = txn.DelRange(r)
			ok(t, err)
		})
		if !bytes.Equal(lo[:5], []byte("a....")) || !bytes.Equal(hi[:5], []byte("c....")) {
			t.Errorf("the caller's bounds became %q and %q", lo[:5], hi[:5])
		}
	}},
	{"WritesInAReadTransactionAreRefused", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1")
		with(t, space, store.Read, func(txn store.Txn) {
			for name, call := range writeCalls(txn) {
				err := call()
				if errs.Has(err, errs.BadTransaction) && (name == "Rollback" || name == "Release") {
					continue // as good: no savepoint is open
				}
				if !errs.Has(err, errs.ReadOnly) {
					t.Errorf("%s in a read transaction: got %v, want code read-only", name, err)
				}
			}
			has(t, txn, "a", "1")
		})
	}},
}

// backwards reverses the words of list.
func backwards(list string) string {
	words := strings.Fields(list)
	for i, j := 0, len(words)-1; i < j; i, j = i+1, j-1 {
		words[i], words[j] = words[j], words[i]
	}
	return strings.Join(words, " ")
}

// fillNumbers commits n entries "000000" = "value 0", ….
func fillNumbers(t tb, space store.Space, n int) {
	t.Helper()
	write(t, space, func(txn store.Txn) {
		for i := range n {
			_, err := txn.Put(fmt.Appendf(nil, "%06d", i), fmt.Appendf(nil, "value %d", i))
			ok(t, err)
		}
	})
}

func clearSpace(t tb, space store.Space) {
	t.Helper()
	write(t, space, func(txn store.Txn) {
		_, err := txn.DelRange(store.Range{})
		ok(t, err)
	})
}

// writeCalls are the methods of txn that only a write transaction has.
func writeCalls(txn store.Txn) map[string]func() error {
	key := []byte("\x04k")
	return map[string]func() error{
		"Put":       func() error { _, err := txn.Put(key, key); return err },
		"Reserve":   func() error { _, _, err := txn.Reserve(key, 1); return err },
		"PutMany":   func() error { _, err := txn.PutMany([]store.Entry{{Key: key}}); return err },
		"Del":       func() error { _, err := txn.Del(key); return err },
		"DelRange":  func() error { _, err := txn.DelRange(store.Range{}); return err },
		"TakeFirst": func() error { _, err := txn.TakeFirst(store.Range{}); return err },
		"NextSeq":   func() error { _, err := txn.NextSeq(key); return err },
		"Savepoint": txn.Savepoint,
		"Rollback":  txn.Rollback,
		"Release":   txn.Release,
	}
}
