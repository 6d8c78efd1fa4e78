package coll_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// trap makes one call of a store fail, of reads and writes alike: the at-th
// from now, 0 for none.
type trap struct{ calls, at int }

var errTrap = errs.New(errs.IO, "use the store", "", "the test asked for a failure here")

func (t *trap) hit() error {
	t.calls++
	if t.calls == t.at {
		return errTrap
	}
	return nil
}

func (t *trap) set(at int) { t.calls, t.at = 0, at }

// trappedBackend is any backend, whose transactions run into a trap.
type trappedBackend struct {
	store.Backend
	trap *trap
}

func (b trappedBackend) Open(namespace string, create bool) (store.Space, error) {
	space, err := b.Backend.Open(namespace, create)
	return trappedSpace{space, b.trap}, err
}

type trappedSpace struct {
	store.Space
	trap *trap
}

func (s trappedSpace) Begin(mode store.Mode, wait store.Wait) (store.Txn, error) {
	txn, err := s.Space.Begin(mode, wait)
	return &trappedTxn{txn, s.trap}, err
}

func (s trappedSpace) Update(wait store.Wait, fn func(store.Txn) error) error {
	return s.Space.Update(wait, func(txn store.Txn) error { return fn(&trappedTxn{txn, s.trap}) })
}

type trappedTxn struct {
	store.Txn
	trap *trap
}

func (t *trappedTxn) Get(key []byte) ([]byte, error) {
	if err := t.trap.hit(); err != nil {
		return nil, err
	}
	return t.Txn.Get(key)
}

func (t *trappedTxn) GetMany(keys, values [][]byte) error {
	if err := t.trap.hit(); err != nil {
		return err
	}
	return t.Txn.GetMany(keys, values)
}

func (t *trappedTxn) Scan(r store.Range, dst []store.Entry) (int, error) {
	if err := t.trap.hit(); err != nil {
		return 0, err
	}
	return t.Txn.Scan(r, dst)
}

func (t *trappedTxn) Put(key, value []byte) (bool, error) {
	if err := t.trap.hit(); err != nil {
		return false, err
	}
	return t.Txn.Put(key, value)
}

func (t *trappedTxn) Reserve(key []byte, n int) ([]byte, bool, error) {
	if err := t.trap.hit(); err != nil {
		return nil, false, err
	}
	return t.Txn.Reserve(key, n)
}

// PutMany fails half-way.
func (t *trappedTxn) PutMany(entries []store.Entry) (int, error) {
	if err := t.trap.hit(); err != nil {
		fresh, other := t.Txn.PutMany(entries[:len(entries)/2])
		return fresh, errors.Join(err, other)
	}
	return t.Txn.PutMany(entries)
}

func (t *trappedTxn) Del(key []byte) (bool, error) {
	if err := t.trap.hit(); err != nil {
		return false, err
	}
	return t.Txn.Del(key)
}

// DelRange fails after the first key.
func (t *trappedTxn) DelRange(r store.Range) (int, error) {
	if err := t.trap.hit(); err != nil {
		_, other := t.Txn.TakeFirst(r)
		if other == store.ErrNotFound {
			other = nil
		}
		return 1, errors.Join(err, other)
	}
	return t.Txn.DelRange(r)
}

// dump is all that a namespace holds.
func dump(t tb, space *object.Space) (content []string) {
	t.Helper()
	tx, err := space.Begin(store.Read, store.Wait{})
	need(t, err)
	defer tx.Abort()
	entries := make([]store.Entry, 2000)
	n, err := tx.Scan(store.Range{}, entries)
	need(t, err)
	for _, e := range entries[:n] {
		content = append(content, fmt.Sprintf("%x %x", e.Key, e.Value))
	}
	return content
}

func sameContent(t testing.TB, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: the namespace has\n%.3000s\nnot\n%.3000s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Properties, for each call of the store that an operation makes, when it
// fails: the operation reports it; an update leaves nothing; a transaction
// whose owner does not look at errors commits nothing of it either; and a
// rollback to before it leaves a transaction that can go on and commit.
func checkEachCall(t *testing.T, space *object.Space, trap *trap, run func(tx *object.Tx) error) {
	runtime.LockOSThread() // LMDB's write transactions belong to a thread
	defer runtime.UnlockOSThread()
	before := dump(t, space)
	for at := 1; ; at++ {
		trap.set(at)
		err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
			trap.calls = 0 // of the second run of an update too
			return run(tx)
		})
		fired := trap.calls >= at
		trap.set(0)
		if !fired {
			need(t, err)
			if at == 1 {
				t.Fatal("the operation makes no call of the store")
			}
			return // it has as many calls as were made to fail
		}
		if !errors.Is(err, errTrap) {
			t.Fatalf("call %d: %v", at, err)
		}
		sameContent(t, fmt.Sprint("update, call ", at), dump(t, space), before)
		for _, undone := range []bool{false, true} {
			trapInTransaction(t, space, trap, at, undone, run)
			sameContent(t, fmt.Sprint("transaction, call ", at), dump(t, space), before)
		}
	}
}

func trapInTransaction(t *testing.T, space *object.Space, trap *trap, at int, undone bool, run func(tx *object.Tx) error) {
	tx, err := space.Begin(store.Write, store.Wait{Timeout: -1})
	need(t, err)
	need(t, tx.Savepoint())
	trap.set(at)
	err = run(tx)
	failed := trap.calls >= at // else it would be the writing of the state
	trap.set(0)
	if failed != errors.Is(err, errTrap) {
		t.Fatalf("transaction, call %d: %v", at, err)
	}
	if undone || !failed {
		need(t, tx.Rollback())
	} else {
		need(t, tx.Release())
	}
	if err := tx.Commit(); err != nil && (undone || !errors.Is(err, errTrap)) {
		t.Fatalf("commit, call %d, undone %v: %v", at, undone, err)
	}
}
