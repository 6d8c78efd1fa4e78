package coll_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// sequenceOp is an operation on an array or a queue that holds five items.
type sequenceOp struct {
	name  string
	kind  object.Kind
	limit int
	flags uint32
	run   func(tx *object.Tx, o *object.Object) error
}

func items(n, size int) []coll.Item {
	made := make([]coll.Item, n)
	for i := range made {
		made[i] = coll.Item{Head: []byte{byte(i)}, Value: bytes.Repeat([]byte{byte(i)}, size)}
	}
	return made
}

func sequenceOps() []sequenceOp {
	array := func(name string, limit int, run func(tx *object.Tx, o *object.Object) error) sequenceOp {
		return sequenceOp{"array " + name, object.KindArray, limit, 0, run}
	}
	extend := func(n, size int) func(tx *object.Tx, o *object.Object) error {
		return func(tx *object.Tx, o *object.Object) error { return coll.ArrayExtend(tx, o, items(n, size)) }
	}
	appended := func(tx *object.Tx, o *object.Object) error { return coll.ArrayAppend(tx, o, []byte("new")) }
	popped := func(last bool) func(tx *object.Tx, o *object.Object) error {
		return func(tx *object.Tx, o *object.Object) error { _, err := coll.ArrayPop(tx, o, last); return err }
	}
	putBack := func(last bool) func(tx *object.Tx, o *object.Object) error {
		return func(tx *object.Tx, o *object.Object) error {
			taken, err := coll.ArrayPop(tx, o, last)
			if err == nil {
				err = coll.ArrayReturn(tx, o, taken, last)
			}
			return err
		}
	}
	ops := []sequenceOp{
		array("append", 0, appended),
		array("append to a full one", 5, appended),
		array("extend", 0, extend(3, 9)),
		array("extend by several batches", 0, extend(700, 9)),
		array("extend by large ones", 0, extend(3, 40_000)),
		array("extend past the bound", 6, extend(4, 9)),
		array("extend by more than it holds", 5, extend(8, 9)),
		array("set", 0, func(tx *object.Tx, o *object.Object) error { return coll.ArraySet(tx, o, -2, []byte("new")) }),
		array("pop the first", 0, popped(false)),
		array("pop the last", 0, popped(true)),
		array("put the first back", 0, putBack(false)),
		array("put the last back", 0, putBack(true)),
		array("clear", 0, coll.ArrayClear),
	}
	for _, flags := range []uint32{0, object.FlagLifo, object.FlagRanked} {
		queue := func(name string, run func(tx *object.Tx, o *object.Object) error) {
			ops = append(ops, sequenceOp{fmt.Sprintf("queue %x %s", flags, name), object.KindQueue, 0, flags, run})
		}
		queue("put", func(tx *object.Tx, o *object.Object) error { return putItem(tx, o, flags, 2, "new") })
		queue("take", func(tx *object.Tx, o *object.Object) error { _, err := coll.QueueTake(tx, o, nil); return err })
		queue("put back", func(tx *object.Tx, o *object.Object) error {
			taken, err := coll.QueueTake(tx, o, nil)
			if err == nil {
				err = coll.QueueReturn(tx, o, taken)
			}
			return err
		})
		queue("done", coll.QueueDone)
		queue("clear", coll.QueueClear)
		queue("limit", func(tx *object.Tx, o *object.Object) error { return coll.QueueLimit(tx, o, 3) })
		queue("shut", func(tx *object.Tx, o *object.Object) error { return coll.QueueShut(tx, o, true) })
	}
	return ops
}

func putItem(tx *object.Tx, o *object.Object, flags uint32, rank int, value string) error {
	var encoded []byte
	if flags == object.FlagRanked {
		var err error
		if encoded, _, err = keys.EncodeKey(nil, keys.Tuple{rank}); err != nil {
			return err
		}
	}
	return coll.QueuePut(tx, o, encoded, []byte(value))
}

// made is a sequence for an operation; of a queue one more item was taken.
func (op sequenceOp) made(t tb, backend store.Backend) (*object.Space, *object.Object) {
	space, o := newQueue(t, backend, op.limit, op.flags)
	if op.kind == object.KindArray {
		need(t, space.Close())
		space, o = newSequence(t, backend, op.kind, op.limit)
	}
	need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
		if op.kind == object.KindArray {
			return coll.ArrayExtend(tx, o, items(5, 20))
		}
		for rank := range 6 {
			if err := putItem(tx, o, op.flags, rank, fmt.Sprint("item ", rank)); err != nil {
				return err
			}
		}
		_, err := coll.QueueTake(tx, o, nil)
		return err
	}))
	return space, o
}

func TestWhicheverCallOfTheStoreFailsASequenceIsAsBefore(t *testing.T) {
	for backend, open := range backends(t) {
		for _, op := range sequenceOps() {
			t.Run(backend+"/"+op.name, func(t *testing.T) {
				trap := &trap{}
				space, o := op.made(t, trappedBackend{open(), trap})
				defer func() { need(t, space.Close()) }()
				checkEachCall(t, space, trap, func(tx *object.Tx) error { return op.run(tx, o) })
			})
		}
	}
}

// spoil changes the last byte of a record, or removes the record.
func spoil(t testing.TB, space *object.Space, dbkey []byte, remove bool) {
	t.Helper()
	need(t, space.Store().Update(store.Wait{Timeout: -1}, func(txn store.Txn) error {
		found, err := txn.Get(dbkey)
		if err != nil {
			return err
		}
		if remove {
			_, err := txn.Del(dbkey)
			return err
		}
		record := bytes.Clone(found)
		record[len(record)-1] ^= 1
		_, err = txn.Put(dbkey, record)
		return err
	}))
}

// Properties: whoever meets a damaged or missing item is told which it is, and
// nothing is changed by that; the others can be read; and what was damaged can
// be replaced and removed.
func TestADamagedItemIsNamedAndNeverAValue(t *testing.T) {
	for backend, open := range backends(t) {
		for _, missing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/missing %v", backend, missing), func(t *testing.T) {
				op := sequenceOp{kind: object.KindArray}
				space, o := op.made(t, open())
				defer func() { need(t, space.Close()) }()
				damaged := func(position uint64) (key []byte, name string) {
					key = keys.AppendItemKey(nil, o.Prefix, keys.TagItem, position)
					return key, fmt.Sprintf("item at position %d of object %d", position, o.ID)
				}
				ends := []uint64{0, 2, 4}
				for _, position := range ends {
					key, _ := damaged(position)
					spoil(t, space, key, missing)
				}
				before := dump(t, space)
				told := func(what string, position uint64, err error) {
					t.Helper()
					if _, name := damaged(position); !errs.Has(err, errs.Corrupt) || !strings.Contains(err.Error(), name) {
						t.Errorf("%s of the item at %d: %v", what, position, err)
					}
				}
				read := func(s coll.Slice) error {
					c, err := coll.NewArrayCursor(o, nil, s)
					need(t, err)
					defer c.Close()
					_, _, err = c.Next()
					if _, _, again := c.Next(); again != err {
						t.Errorf("the second answer is %v, the first was %v", again, err)
					}
					return err
				}
				for _, position := range ends {
					told("get", position, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
						_, err := coll.ArrayGet(tx, o, int64(position))
						return err
					}))
				}
				told("pop", 0, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
					_, err := coll.ArrayPop(tx, o, false)
					return err
				}))
				told("pop", 4, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
					_, err := coll.ArrayPop(tx, o, true)
					return err
				}))
				told("read", 0, read(coll.Everything))
				told("read backwards", 4, read(coll.Slice{Start: -1, Stop: -10, Step: -1}))
				told("read by steps", 2, read(coll.Slice{Start: 2, Stop: 5, Step: 2}))
				tail, _, err := coll.NewArrayTail(o, nil, 1)
				need(t, err)
				_, _, err = tail.Next()
				tail.Close()
				told("follow", 2, err)
				sameContent(t, "after reading", dump(t, space), before)

				need(t, read(coll.Slice{Start: 1, Stop: 4, Step: 2}))
				need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
					for _, position := range ends {
						if err := coll.ArraySet(tx, o, int64(position), []byte("new")); err != nil {
							return err
						}
					}
					return nil
				}))
				need(t, read(coll.Everything))
				key, _ := damaged(1)
				spoil(t, space, key, missing)
				need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return coll.ArrayClear(tx, o) }))
				state, err := o.PeekState()
				need(t, err)
				if state.Length != 0 || state.Next != 5 {
					t.Errorf("state %+v", state)
				}
			})
		}
	}
}

func TestADamagedItemOfAQueueIsNamedAndStays(t *testing.T) {
	for backend, open := range backends(t) {
		for _, flags := range []uint32{0, object.FlagLifo, object.FlagRanked} {
			t.Run(fmt.Sprintf("%s/%x", backend, flags), func(t *testing.T) {
				op := sequenceOp{kind: object.KindQueue, flags: flags}
				space, o := op.made(t, open())
				defer func() { need(t, space.Close()) }()
				key, _ := nextKey(t, space, o, flags)
				spoil(t, space, key, false)
				before := dump(t, space)
				_, err := coll.QueueTakeWait(o, store.Wait{Timeout: -1}, nil)
				if !errs.Has(err, errs.Corrupt) || !strings.Contains(err.Error(), keys.Describe(key)) {
					t.Errorf("take: %v, and should name %s", err, keys.Describe(key))
				}
				sameContent(t, "after taking", dump(t, space), before)
				need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return coll.QueueClear(tx, o) }))
				need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return putItem(tx, o, flags, 1, "next") }))
				taken, err := coll.QueueTakeWait(o, store.Wait{Timeout: -1}, nil)
				need(t, err)
				if string(taken.Value()) != "next" {
					t.Errorf("took %q", taken.Value())
				}
			})
		}
	}
}

// A queue that counts items and has none is damaged, and says so.
func TestAQueueWithoutTheItemsItCountsSaysSo(t *testing.T) {
	for backend, open := range backends(t) {
		for _, flags := range []uint32{0, object.FlagLifo, object.FlagRanked} {
			t.Run(fmt.Sprintf("%s/%x", backend, flags), func(t *testing.T) {
				op := sequenceOp{kind: object.KindQueue, flags: flags}
				space, o := op.made(t, open())
				defer func() { need(t, space.Close()) }()
				for {
					key, there := nextKey(t, space, o, flags)
					if !there {
						break
					}
					spoil(t, space, key, true)
				}
				if _, err := coll.QueueTakeWait(o, store.Wait{Timeout: -1}, nil); !errs.Has(err, errs.Corrupt) {
					t.Errorf("take: %v", err)
				}
			})
		}
	}
}

// nextKey is where the item lies that is the next to be taken.
func nextKey(t testing.TB, space *object.Space, o *object.Object, flags uint32) (key []byte, there bool) {
	t.Helper()
	tag := keys.TagItem
	if flags == object.FlagRanked {
		tag = keys.TagRank
	}
	r := store.Prefix(keys.AppendTag(nil, o.Prefix, tag))
	r.Reverse = flags == object.FlagLifo
	tx, err := space.Begin(store.Read, store.Wait{})
	need(t, err)
	defer tx.Abort()
	var one [1]store.Entry
	n, err := tx.Scan(r, one[:])
	need(t, err)
	return bytes.Clone(one[0].Key), n == 1
}
