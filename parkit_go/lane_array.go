package parkit_go

/*
#include <stdlib.h>
#include "lane.h"
*/
import "C"

import (
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

//export pkArrayGet
func pkArrayGet(handle C.int64_t, scopes *C.pk_scopes, index C.int64_t, room *C.uchar, cap C.size_t, got *C.pk_got, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("read array", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if tx := txIn(scopes, o.space); tx != nil {
		value, err := coll.ArrayGet(tx, o.Object, int64(index))
		if err != nil {
			return failed(err, words)
		}
		found(got, value, tx.Mode() == store.Write)
		return C.PK_OK
	}
	if panicked.Load() != nil {
		return failed(refusal("read"), words)
	}
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	if err != nil {
		return failed(err, words)
	}
	defer tx.Abort()
	tx.Hurry(wait == nil)
	value, err := coll.ArrayGet(tx, o.Object, int64(index))
	if err != nil {
		return failed(err, words)
	}
	if dst := unsafe.Slice((*byte)(unsafe.Pointer(room)), int(cap)); len(value) <= len(dst) {
		found(got, dst[:copy(dst, value)], false)
		return C.PK_OK
	}
	copied(got, value)
	return C.PK_OK
}

//export pkArraySet
func pkArraySet(handle C.int64_t, scopes *C.pk_scopes, index C.int64_t, e *C.pk_entry, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write array", words, &rc)
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.ArraySet(tx, o, int64(index), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
	})
}

//export pkArrayAppend
func pkArrayAppend(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write array", words, &rc)
	if o, ok := objects.at(int64(handle)); ok {
		// As written does, without a closure on the heap.
		if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
			return failed(coll.ArrayAppend(tx, o.Object, bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen)), words)
		}
	}
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.ArrayAppend(tx, o, bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
	})
}

//export pkArrayExtend
func pkArrayExtend(handle C.int64_t, scopes *C.pk_scopes, entries *C.pk_entry, n C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write array", words, &rc)
	if alone(handle, scopes) && wait == nil {
		return C.PK_AGAIN // many items take a while: let other threads run meanwhile
	}
	items := itemsOf(entries, n)
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.ArrayExtend(tx, o, items)
	})
}

//export pkArrayPop
func pkArrayPop(handle C.int64_t, scopes *C.pk_scopes, last C.int, got *C.pk_got, with *C.pk_taken, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write array", words, &rc)
	var taken coll.Taken
	rc = written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) (err error) {
		taken, err = coll.ArrayPop(tx, o, last != 0)
		return err
	})
	if rc == C.PK_OK {
		handed(got, with, taken, nil)
	}
	return rc
}

//export pkArrayClear
func pkArrayClear(handle C.int64_t, scopes *C.pk_scopes, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write array", words, &rc)
	if alone(handle, scopes) && wait == nil {
		return C.PK_AGAIN
	}
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.ArrayClear(tx, o)
	})
}

//export pkArraySliceLength
func pkArraySliceLength(handle C.int64_t, scopes *C.pk_scopes, start, stop, step C.int64_t, length *C.int64_t, words *C.pk_words) (rc C.int) {
	defer guarded("read array", words, &rc)
	return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
		state, err := tx.State(o)
		if err == nil {
			*length = C.int64_t(coll.ArraySliceLength(state, coll.Slice{Start: int64(start), Stop: int64(stop), Step: int64(step)}))
		}
		return err
	})
}

//export pkArrayWait
func pkArrayWait(handle C.int64_t, scopes *C.pk_scopes, position C.uint64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("wait for items", words, &rc)
	return patient(handle, scopes, wait, words, "wait for items", func(o *object.Object, w store.Wait) error {
		return coll.ArrayWait(o, w, uint64(position))
	})
}

// pkSequence tells of an array or a queue: the position of the next item, the
// bound on the length (0 for none) and how many items are not done with.
//
//export pkSequence
func pkSequence(handle C.int64_t, scopes *C.pk_scopes, length, next, limit, pending *C.uint64_t, flags *C.uint32_t, words *C.pk_words) (rc C.int) {
	defer guarded("read object", words, &rc)
	tell := func(s *object.State) {
		*length, *next = C.uint64_t(s.Length), C.uint64_t(s.Next)
		*limit, *pending, *flags = C.uint64_t(s.Limit), C.uint64_t(s.Pending), C.uint32_t(s.Flags)
	}
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if tx := txIn(scopes, o.space); tx != nil {
		state, err := tx.State(o.Object)
		if err == nil {
			tell(state)
		}
		return failed(err, words)
	}
	state, err := o.PeekState()
	tell(&state)
	return failed(err, words)
}

// alone reports whether the thread has no transaction that a write of the
// object belongs to.
func alone(handle C.int64_t, scopes *C.pk_scopes) bool {
	o, ok := objects.at(int64(handle))
	if !ok {
		return false
	}
	tx := txIn(scopes, o.space)
	return tx == nil || tx.Mode() != store.Write
}

func itemsOf(entries *C.pk_entry, n C.size_t) []coll.Item {
	items := make([]coll.Item, int(n))
	for i, e := range unsafe.Slice(entries, int(n)) {
		items[i] = coll.Item{Head: bytesOf(e.head, e.headlen), Value: bytesOf(e.body, e.bodylen)}
	}
	return items
}
