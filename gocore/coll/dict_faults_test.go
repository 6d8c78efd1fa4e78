package coll_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

func TestWhicheverCallOfTheStoreFailsADictIsAsBefore(t *testing.T) {
	one, boolean := encode(t, true)
	text, _ := encode(t, "text")
	long, _ := encode(t, strings.Repeat("long", 200))
	many := func(n, size int) []coll.DictEntry {
		entries := make([]coll.DictEntry, n)
		for i := range entries {
			entries[i] = coll.DictEntry{Value: bytes.Repeat([]byte{byte(i)}, size)}
			entries[i].Key, entries[i].Own = encode(t, i*7919%n)
		}
		return append(entries, coll.DictEntry{Key: long, Value: []byte("new")}, coll.DictEntry{Key: one, Own: boolean, Value: []byte("new")})
	}
	operations := map[string]func(tx *object.Tx, o *object.Object) error{
		"set": func(tx *object.Tx, o *object.Object) error { return coll.DictSet(tx, o, text, nil, []byte("new")) },
		"set with a key of its own": func(tx *object.Tx, o *object.Object) error {
			return coll.DictSet(tx, o, one, boolean, []byte("new"))
		},
		"set with a long key": func(tx *object.Tx, o *object.Object) error { return coll.DictSet(tx, o, long, nil, []byte("new")) },
		"insert": func(tx *object.Tx, o *object.Object) error {
			_, err := coll.DictInsert(tx, o, text, nil, []byte("new"))
			return err
		},
		"delete":   func(tx *object.Tx, o *object.Object) error { return coll.DictDel(tx, o, long) },
		"pop":      func(tx *object.Tx, o *object.Object) error { _, err := coll.DictPop(tx, o, long); return err },
		"pop item": func(tx *object.Tx, o *object.Object) error { _, err := coll.DictPopItem(tx, o, true); return err },
		"put back": putBack(long),
		"clear":    coll.DictClear,
		"set a few": func(tx *object.Tx, o *object.Object) error {
			return coll.DictSetMany(tx, o, many(4, 9))
		},
		"set many":       func(tx *object.Tx, o *object.Object) error { return coll.DictSetMany(tx, o, many(1200, 9)) },
		"set large ones": func(tx *object.Tx, o *object.Object) error { return coll.DictSetMany(tx, o, many(20, 20_000)) },
	}
	for backend, open := range backends(t) {
		for name, run := range operations {
			t.Run(backend+"/"+name, func(t *testing.T) {
				trap := &trap{}
				space, o := newDict(t, trappedBackend{open(), trap})
				update(t, space, func(tx *object.Tx) error {
					if err := coll.DictSet(tx, o, long, nil, []byte("old")); err != nil {
						return err
					}
					return coll.DictSet(tx, o, one, nil, []byte("old"))
				})
				checkEachCall(t, space, trap, func(tx *object.Tx) error { return run(tx, o) })
			})
		}
	}
}

// Properties, for each call of the store that a cursor makes, when it fails:
// what came before it is given, the failure is told and told again, no
// transaction stays open.
func TestACursorWhoseStoreFailsSaysSo(t *testing.T) {
	type maker func(tx *object.Tx, d, a *object.Object) (*coll.Cursor, error)
	array := func(s coll.Slice) maker {
		return func(tx *object.Tx, _, a *object.Object) (*coll.Cursor, error) { return coll.NewArrayCursor(a, tx, s) }
	}
	makers := map[string]maker{
		"dict": func(tx *object.Tx, d, _ *object.Object) (*coll.Cursor, error) {
			return coll.NewDictCursor(d, tx, coll.KeyRange{})
		},
		"array":           array(coll.Everything),
		"array backwards": array(coll.Slice{Start: -1, Stop: -1 << 62, Step: -1}),
		"array by steps":  array(coll.Slice{Stop: 1 << 62, Step: 3}),
		"tail": func(tx *object.Tx, _, a *object.Object) (*coll.Cursor, error) {
			c, _, err := coll.NewArrayTail(a, tx, 100)
			return c, err
		},
	}
	for backend, open := range backends(t) {
		for name, maker := range makers {
			for _, within := range []string{"nothing", "a snapshot", "a transaction"} {
				t.Run(fmt.Sprintf("%s/%s/%s", backend, name, within), func(t *testing.T) {
					runtime.LockOSThread() // LMDB's write transactions belong to a thread
					defer runtime.UnlockOSThread()
					trap := &trap{}
					space, a := newSequence(t, trappedBackend{open(), trap}, object.KindArray, 0)
					defer func() { need(t, space.Close()) }()
					var d *object.Object
					update(t, space, func(tx *object.Tx) (err error) {
						if d, _, err = space.Create(tx, object.Descriptor{Name: "d", Kind: object.KindDict}); err != nil {
							return err
						}
						return coll.ArrayExtend(tx, a, items(1000, 5))
					})
					set(t, space, d, 1000, 5)
					for at, failed := 1, true; failed; at++ {
						failed = runIntoTrap(t, space, trap, at, within, func(tx *object.Tx) (*coll.Cursor, error) { return maker(tx, d, a) })
						if !failed && at == 1 {
							t.Error("it makes no call of the store")
						}
						if age := oldest(t, space); age != 0 {
							t.Fatalf("call %d: a transaction is open for %v", at, age)
						}
					}
				})
			}
		}
	}
}

// runIntoTrap goes through a cursor and reports whether a call of the store failed.
func runIntoTrap(t *testing.T, space *object.Space, trap *trap, at int, within string, make func(tx *object.Tx) (*coll.Cursor, error)) bool {
	var tx *object.Tx
	if within != "nothing" {
		mode := store.Read
		if within == "a transaction" {
			mode = store.Write
		}
		var err error
		tx, err = space.Begin(mode, store.Wait{Timeout: -1})
		need(t, err)
		defer tx.Abort()
	}
	trap.set(at)
	defer trap.set(0)
	c, err := make(tx)
	if err != nil {
		if !errors.Is(err, errTrap) {
			t.Fatalf("call %d: %v", at, err)
		}
		return true
	}
	defer c.Close()
	for last := false; err == nil && !last; {
		_, last, err = c.Next()
	}
	fired := trap.calls >= at
	if fired != errors.Is(err, errTrap) {
		t.Fatalf("call %d: %v", at, err)
	}
	if _, last, again := c.Next(); again != err || !last {
		t.Errorf("call %d: afterwards %v, %v", at, last, again)
	}
	return fired
}
