package coll_test

import (
	"fmt"
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/object"
)

// As of other dicts, for those whose entries end and give way: their indexes
// are more calls of the store to fail between.
func TestWhicheverCallOfTheStoreFailsACacheIsAsBefore(t *testing.T) {
	past, future := time.Now().Add(-time.Hour).UnixNano(), time.Now().Add(time.Hour).UnixNano()
	key := func(n int) []byte { encoded, _ := encode(t, n); return encoded }
	store := func(n int, due int64, how coll.StoreHow) func(tx *object.Tx, o *object.Object) error {
		return func(tx *object.Tx, o *object.Object) error {
			_, err := coll.DictStore(tx, o, coll.DictEntry{Key: key(n), Value: []byte("new")}, due, how)
			return err
		}
	}
	operations := map[string]func(tx *object.Tx, o *object.Object) error{
		"store what evicts":      store(99, future, coll.StoreSet),
		"store over":             store(5, future+1, coll.StoreSet),
		"add":                    store(97, 0, coll.StoreAdd),
		"store and keep the end": store(5, 0, coll.StoreKeep),
		"set":                    func(tx *object.Tx, o *object.Object) error { return coll.DictSet(tx, o, key(3), nil, []byte("new")) },
		"insert": func(tx *object.Tx, o *object.Object) error {
			_, err := coll.DictInsert(tx, o, key(98), nil, []byte("new"))
			return err
		},
		"set many": func(tx *object.Tx, o *object.Object) error {
			var many []coll.DictEntry
			for n := range 5 {
				many = append(many, coll.DictEntry{Key: key(50 + n), Value: []byte("new")})
			}
			return coll.DictSetMany(tx, o, many)
		},
		"touch":    func(tx *object.Tx, o *object.Object) error { return coll.DictTouch(tx, o, key(5), future+2) },
		"delete":   func(tx *object.Tx, o *object.Object) error { return coll.DictDel(tx, o, key(5)) },
		"pop":      func(tx *object.Tx, o *object.Object) error { _, err := coll.DictPop(tx, o, key(5)); return err },
		"pop item": func(tx *object.Tx, o *object.Object) error { _, err := coll.DictPopItem(tx, o, true); return err },
		"put back": putBack(key(5)),
		"clear":    coll.DictClear,
	}
	for backend, open := range backends(t) {
		for name, run := range operations {
			for _, eviction := range []uint64{coll.EvictUsed, coll.EvictStored} {
				t.Run(fmt.Sprintf("%s/%d/%s", backend, eviction, name), func(t *testing.T) {
					trap := &trap{}
					space, o := newDict(t, trappedBackend{open(), trap})
					update(t, space, func(tx *object.Tx) error {
						if err := coll.DictLimit(tx, o, 6, 0, eviction); err != nil {
							return err
						}
						for _, n := range []int{0, 2, 3, 5, 1, 4} { // what ends in the past is swept by the next
							due := []int64{0, past, future}[n%3]
							if _, err := coll.DictStore(tx, o, coll.DictEntry{Key: key(n), Value: []byte("old")}, due, coll.StoreSet); err != nil {
								return err
							}
						}
						return nil
					})
					checkEachCall(t, space, trap, func(tx *object.Tx) error { return run(tx, o) })
				})
			}
		}
	}
}
