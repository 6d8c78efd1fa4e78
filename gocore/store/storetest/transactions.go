package storetest

import (
	"fmt"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

var transactionTests = []test{
	{"AbortForgetsTheWrites", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "b", "2")
		with(t, space, store.Write, func(txn store.Txn) {
			putIn(t, txn, "a", "9", "c", string(pattern(10_000)))
			_, err := txn.Del([]byte("b"))
			ok(t, err)
			txn.Abort()
		})
		for _, mode := range []store.Mode{store.Read, store.Write} {
			with(t, space, mode, func(txn store.Txn) {
				equal(t, "content", content(t, txn, store.Range{}), "a=1 b=2")
			})
		}
	}},
	{"UseAfterTheEndIsRefused", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1")
		for _, mode := range []store.Mode{store.Read, store.Write} {
			for _, end := range []string{"commit", "abort"} {
				with(t, space, mode, func(txn store.Txn) {
					if end == "commit" {
						ok(t, txn.Commit())
					} else {
						txn.Abort()
					}
					calls := writeCalls(txn)
					calls["Get"] = func() error { _, err := txn.Get([]byte("a")); return err }
					calls["GetMany"] = func() error { return txn.GetMany([][]byte{[]byte("a")}, make([][]byte, 1)) }
					calls["Scan"] = func() error { _, err := txn.Scan(store.Range{}, make([]store.Entry, 1)); return err }
					calls["Commit"] = txn.Commit
					for name, call := range calls {
						if err := call(); !errs.Has(err, errs.BadTransaction) {
							t.Errorf("%s after %s: got %v, want code bad transaction", name, end, err)
						}
					}
					txn.Touch(store.FirstShared) // has no error to return: must only be harmless
					txn.WakeOne(store.FirstReserved)
					txn.Abort()
					txn.Abort()
				})
			}
		}
		with(t, space, store.Write, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}), "a=1")
		})
	}},
	{"IDIsTheNumberOfTheCommitSeen", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		id := func() (id uint64) {
			with(t, space, store.Read, func(txn store.Txn) { id = txn.ID() })
			return id
		}
		put(t, space, "a", "0")
		last := id()
		equal(t, "id without a commit between", id(), last)
		for i := range 5 {
			with(t, space, store.Write, func(txn store.Txn) { putIn(t, txn, "a", "aborted") })
			equal(t, "id after an abort", id(), last)
			put(t, space, "a", fmt.Sprint(i))
			if next := id(); next <= last {
				t.Fatalf("id %d after a commit, %d before", next, last)
			} else {
				last = next
			}
		}
		stats, err := space.Stats()
		ok(t, err)
		equal(t, "Stats().LastCommit", stats.LastCommit, last)
	}},
	{"ACommitOfAReadTransactionEndsIt", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		with(t, space, store.Read, func(txn store.Txn) { ok(t, txn.Commit()) })
	}},
	{"ManyReadTransactionsAtOnce", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		var open []store.Txn
		defer func() {
			for _, txn := range open {
				txn.Abort()
			}
		}()
		for i := range 100 {
			put(t, space, "k", fmt.Sprint(i))
			txn, err := space.Begin(store.Read, store.Wait{})
			ok(t, err)
			open = append(open, txn)
		}
		for i, txn := range open {
			has(t, txn, "k", fmt.Sprint(i))
		}
	}},
}

var savepointTests = []test{
	{"RollbackUndoesEverythingSince", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "b", "2", "c", "3", "big", string(pattern(9000)))
		write(t, space, func(txn store.Txn) {
			putIn(t, txn, "d", "4")
			before := content(t, txn, store.Range{})
			ok(t, txn.Savepoint())
			putIn(t, txn, "a", "x", "new", "y", "new", "z", "big", "small", "d", string(pattern(9000)))
			memory, _, err := txn.Reserve([]byte("b"), 2)
			ok(t, err)
			copy(memory, "xx")
			_, err = txn.Del([]byte("c"))
			ok(t, err)
			_, err = txn.PutMany([]store.Entry{{Key: []byte("m1")}, {Key: []byte("c"), Value: []byte("m")}})
			ok(t, err)
			nextSeq(t, txn, "\x04n")
			_, err = txn.TakeFirst(store.Range{Lo: []byte("a")})
			ok(t, err)
			_, err = txn.DelRange(store.Range{Lo: []byte("b")})
			ok(t, err)
			putIn(t, txn, "a", "again")
			ok(t, txn.Rollback())
			equal(t, "content", content(t, txn, store.Range{}), before)
			putIn(t, txn, "e", "5") // it goes on
		})
		with(t, space, store.Read, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}),
				"a=1 b=2 big="+string(pattern(9000))+" c=3 d=4 e=5")
		})
	}},
	{"ReleaseKeepsTheWrites", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		write(t, space, func(txn store.Txn) {
			ok(t, txn.Savepoint())
			putIn(t, txn, "a", "1")
			ok(t, txn.Release())
			fails(t, txn.Release(), errs.BadTransaction)
		})
		with(t, space, store.Read, func(txn store.Txn) { has(t, txn, "a", "1") })
	}},
	{"SavepointsNest", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "k", "0")
		with(t, space, store.Write, func(txn store.Txn) {
			ok(t, txn.Savepoint())
			putIn(t, txn, "k", "1", "one", "")
			ok(t, txn.Savepoint())
			putIn(t, txn, "k", "2", "two", "")
			ok(t, txn.Savepoint())
			putIn(t, txn, "k", "3", "three", "")
			ok(t, txn.Rollback())
			equal(t, "third undone", content(t, txn, store.Range{}), "k=2 one= two=")
			ok(t, txn.Release()) // the second becomes part of the first
			ok(t, txn.Savepoint())
			putIn(t, txn, "k", "4")
			ok(t, txn.Release())
			equal(t, "kept", content(t, txn, store.Range{}), "k=4 one= two=")
			ok(t, txn.Rollback())
			equal(t, "first undone", content(t, txn, store.Range{}), "k=0")
		})
	}},
	{"RollbackAndReleaseNeedASavepoint", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		with(t, space, store.Write, func(txn store.Txn) {
			fails(t, txn.Rollback(), errs.BadTransaction)
			fails(t, txn.Release(), errs.BadTransaction)
			ok(t, txn.Savepoint())
			ok(t, txn.Rollback())
			fails(t, txn.Rollback(), errs.BadTransaction)
			putIn(t, txn, "a", "1")
			has(t, txn, "a", "1") // a refusal does no harm
		})
	}},
	{"CommitTakesOpenSavepointsAlong", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		write(t, space, func(txn store.Txn) {
			ok(t, txn.Savepoint())
			putIn(t, txn, "a", "1")
			ok(t, txn.Savepoint())
			putIn(t, txn, "b", "2")
		})
		with(t, space, store.Write, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}), "a=1 b=2")
			fails(t, txn.Rollback(), errs.BadTransaction) // none is left over
		})
	}},
	{"AbortTakesOpenSavepointsAlong", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		with(t, space, store.Write, func(txn store.Txn) {
			ok(t, txn.Savepoint())
			putIn(t, txn, "a", "1")
			ok(t, txn.Release())
			ok(t, txn.Savepoint())
		})
		with(t, space, store.Write, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}), "")
			fails(t, txn.Release(), errs.BadTransaction)
		})
	}},
	{"RollbackOfManyEntries", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		fillNumbers(t, space, 2000)
		with(t, space, store.Write, func(txn store.Txn) {
			ok(t, txn.Savepoint())
			_, err := txn.DelRange(store.Range{Lo: []byte("000500"), Hi: []byte("001500")})
			ok(t, err)
			for i := range 3000 {
				_, err := txn.Put(fmt.Appendf(nil, "%06d", i), []byte("other"))
				ok(t, err)
			}
			ok(t, txn.Rollback())
			entries := scanAll(t, txn, store.Range{}, 100)
			equal(t, "entries", len(entries), 2000)
			for i, e := range entries {
				equal(t, "value", string(e.Value), fmt.Sprintf("value %d", i))
			}
		})
	}},
}

var snapshotTests = []test{
	{"AReaderSeesOneCommitAndNothingLater", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1", "gone", "soon")
		with(t, space, store.Read, func(before store.Txn) {
			write(t, space, func(txn store.Txn) {
				putIn(t, txn, "a", "2", "b", "2")
				_, err := txn.Del([]byte("gone"))
				ok(t, err)
				with(t, space, store.Read, func(during store.Txn) {
					equal(t, "not committed yet", content(t, during, store.Range{}), "a=1 gone=soon")
				})
			})
			equal(t, "before", content(t, before, store.Range{}), "a=1 gone=soon")
			with(t, space, store.Read, func(after store.Txn) {
				equal(t, "after", content(t, after, store.Range{}), "a=2 b=2")
			})
		})
	}},
	{"SlicesOfAReaderOutliveLaterCommits", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		fillNumbers(t, space, 400)
		write(t, space, func(txn store.Txn) {
			_, err := txn.Put([]byte("big"), pattern(50_000))
			ok(t, err)
		})
		with(t, space, store.Read, func(txn store.Txn) {
			dst := make([]store.Entry, 500)
			n, err := txn.Scan(store.Range{}, dst)
			ok(t, err)
			equal(t, "entries", n, 401)
			for round := range 20 { // pages that are free again are used again
				clearSpace(t, space)
				fillNumbers(t, space, 100*(round+1))
			}
			for i, e := range dst[:400] {
				equal(t, "key", string(e.Key), fmt.Sprintf("%06d", i))
				equal(t, "value", string(e.Value), fmt.Sprintf("value %d", i))
			}
			sameBytes(t, "the large value", dst[400].Value, pattern(50_000))
		})
	}},
	{"ConcurrentReadersSeeWholeCommitsOnly", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		const commits, readers, keys = 60, 4, 20
		set := func(txn store.Txn, n int) error {
			for k := range keys {
				if _, err := txn.Put(fmt.Appendf(nil, "%03d", k), text(n)); err != nil {
					return err
				}
			}
			return nil
		}
		ok(t, space.Update(patient, func(txn store.Txn) error { return set(txn, 0) }))
		results := make(chan error, readers+1)
		stop := make(chan struct{})
		for range readers {
			go func() { results <- readWholeCommits(space, keys, stop) }()
		}
		go func() {
			defer close(stop)
			for n := 1; n <= commits; n++ {
				if err := space.Update(patient, func(txn store.Txn) error { return set(txn, n) }); err != nil {
					results <- err
					return
				}
			}
			results <- nil
		}()
		collect(t, results, readers+1)
	}},
	{"PeekCopiesWhatFitsIntoDst", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "k", "12345", "empty", "")
		dst := make([]byte, 2, 5)
		value, pin, err := space.Peek([]byte("k"), dst)
		ok(t, err)
		sameBytes(t, "value", value, []byte("12345"))
		if pin != nil || &value[0] != &dst[0] {
			t.Errorf("a value that fits must be in dst, with no transaction left open (%v)", pin)
		}
		value, pin, err = space.Peek([]byte("empty"), nil)
		ok(t, err)
		if len(value) != 0 || pin != nil {
			t.Errorf("an empty value fits everywhere: got %q and %v", value, pin)
		}
	}},
	{"PeekPinsWhatDoesNotFit", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for _, n := range []int{1, 6, 3000, 100_000} {
			clearSpace(t, space)
			put(t, space, "k", string(pattern(n)))
			value, pin, err := space.Peek([]byte("k"), make([]byte, 0, n-1))
			ok(t, err)
			if pin == nil {
				t.Fatalf("a value of %d bytes in a buffer of %d needs its transaction", n, n-1)
			}
			for range 10 {
				put(t, space, "k", string(pattern(n/2)), "other", string(pattern(n)))
				clearSpace(t, space)
			}
			sameBytes(t, "value after other commits", value, pattern(n))
			pin.Abort()
		}
	}},
	{"PeekOfAMissingKeyIsErrNotFound", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		value, pin, err := space.Peek([]byte("no"), make([]byte, 0, 10))
		missing(t, err)
		if value != nil || pin != nil {
			t.Errorf("got %q and %v, want nothing", value, pin)
		}
	}},
	{"PeekSeesTheLastCommit", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		dst := make([]byte, 0, 16)
		for i := range 50 {
			put(t, space, "k", fmt.Sprint(i))
			with(t, space, store.Write, func(txn store.Txn) {
				putIn(t, txn, "k", "not yet")
				value, _, err := space.Peek([]byte("k"), dst)
				ok(t, err)
				equal(t, "value", string(value), fmt.Sprint(i))
			})
		}
	}},
}

// readWholeCommits reads until stop, and complains about a mixture of commits
// and about going back to an older one.
func readWholeCommits(space store.Space, keys int, stop <-chan struct{}) error {
	newest := 0
	dst := make([]store.Entry, keys+1)
	for {
		txn, err := space.Begin(store.Read, store.Wait{})
		if err != nil {
			return err
		}
		n, err := txn.Scan(store.Range{}, dst)
		seen := make([]int, n)
		for i, e := range dst[:n] {
			seen[i] = number(e.Value)
		}
		txn.Abort()
		if err != nil {
			return err
		}
		if n != keys {
			return fmt.Errorf("saw %d entries of %d", n, keys)
		}
		for _, value := range seen {
			if value != seen[0] || value < newest {
				return fmt.Errorf("after commit %d saw a mixture or an older one: %v", newest, seen)
			}
		}
		newest = seen[0]
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
