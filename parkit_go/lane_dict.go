package parkit_go

/*
#include <stdlib.h>
#include "lane.h"
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

//export pkDictGet
func pkDictGet(handle C.int64_t, scopes *C.pk_scopes, key *C.uchar, n C.size_t, room *C.uchar, cap C.size_t, got *C.pk_got, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("read dict", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if tx := txIn(scopes, o.space); tx != nil {
		value, err := coll.DictGet(tx, o.Object, bytesOf(key, n))
		if err != nil {
			return failed(err, words)
		}
		found(got, value, tx.Mode() == store.Write)
		return C.PK_OK
	}
	dst := unsafe.Slice((*byte)(unsafe.Pointer(room)), int(cap))
	value, pin, err := coll.DictPeek(o.Object, bytesOf(key, n), dst, wait == nil)
	if err != nil {
		return failed(err, words)
	}
	found(got, value, false)
	if pin != nil {
		got.pin = C.uintptr_t(cgo.NewHandle(pin))
	}
	return C.PK_OK
}

//export pkDictContains
func pkDictContains(handle C.int64_t, scopes *C.pk_scopes, key *C.uchar, n C.size_t, room *C.uchar, cap C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("read dict", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if tx := txIn(scopes, o.space); tx != nil {
		has, err := coll.DictContains(tx, o.Object, bytesOf(key, n))
		if err == nil && !has {
			return C.PK_NOTFOUND
		}
		return failed(err, words)
	}
	dst := unsafe.Slice((*byte)(unsafe.Pointer(room)), int(cap))
	_, pin, err := coll.DictPeek(o.Object, bytesOf(key, n), dst, wait == nil)
	if pin != nil {
		pin.Abort()
	}
	return failed(err, words)
}

//export pkDictSet
func pkDictSet(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	if o, ok := objects.at(int64(handle)); ok {
		// As written does, without a closure on the heap.
		if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
			return failed(coll.DictSet(tx, o.Object, bytesOf(e.key, e.keylen), bytesOf(e.own, e.ownlen), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen)), words)
		}
	}
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.DictSet(tx, o, bytesOf(e.key, e.keylen), bytesOf(e.own, e.ownlen), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
	})
}

//export pkDictInsert
func pkDictInsert(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, got *C.pk_got, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	if o, ok := objects.at(int64(handle)); ok && wait == nil && txIn(scopes, o.space) == nil {
		// Most keys are there: no need to write, or to wait, to say so.
		value, pin, err := coll.DictPeek(o.Object, bytesOf(e.key, e.keylen), nil, false)
		if err == nil {
			copied(got, value)
			if pin != nil {
				pin.Abort()
			}
			return C.PK_OK
		}
	}
	var existing []byte
	rc = written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		value, err := coll.DictInsert(tx, o, bytesOf(e.key, e.keylen), bytesOf(e.own, e.ownlen), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
		existing = nil
		if value != nil {
			existing = append([]byte{}, value...)
		}
		return err
	})
	if rc == C.PK_OK && existing != nil {
		copied(got, existing)
	}
	return rc
}

//export pkDictDel
func pkDictDel(handle C.int64_t, scopes *C.pk_scopes, key *C.uchar, n C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.DictDel(tx, o, bytesOf(key, n))
	})
}

//export pkDictPop
func pkDictPop(handle C.int64_t, scopes *C.pk_scopes, key *C.uchar, n C.size_t, got *C.pk_got, with *C.pk_taken, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	var taken coll.Taken
	rc = written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) (err error) {
		taken, err = coll.DictPop(tx, o, bytesOf(key, n))
		return err
	})
	if rc == C.PK_OK {
		handed(got, with, taken, nil)
	}
	return rc
}

//export pkDictPopItem
func pkDictPopItem(handle C.int64_t, scopes *C.pk_scopes, last C.int, got *C.pk_got, with *C.pk_taken, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	var taken coll.Taken
	rc = written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) (err error) {
		taken, err = coll.DictPopItem(tx, o, last != 0)
		return err
	})
	if rc == C.PK_OK {
		handed(got, with, taken, nil)
	}
	return rc
}

//export pkDictUpdate
func pkDictUpdate(handle C.int64_t, scopes *C.pk_scopes, entries *C.pk_entry, n C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	if o, ok := objects.at(int64(handle)); ok && wait == nil {
		// Many entries take a while: let other threads run meanwhile.
		if tx := txIn(scopes, o.space); tx == nil || tx.Mode() != store.Write {
			return C.PK_AGAIN
		}
	}
	list := make([]coll.DictEntry, int(n))
	for i, e := range unsafe.Slice(entries, int(n)) {
		list[i] = coll.DictEntry{Key: bytesOf(e.key, e.keylen), Own: bytesOf(e.own, e.ownlen), Head: bytesOf(e.head, e.headlen), Value: bytesOf(e.body, e.bodylen)}
	}
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.DictSetMany(tx, o, list)
	})
}

//export pkDictClear
func pkDictClear(handle C.int64_t, scopes *C.pk_scopes, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	if wait == nil && scopes == nil {
		return C.PK_AGAIN
	}
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.DictClear(tx, o)
	})
}
