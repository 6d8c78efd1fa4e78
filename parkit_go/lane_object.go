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
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

//export pkUnpin
func pkUnpin(pin C.uintptr_t) {
	h := cgo.Handle(pin)
	h.Value().(store.Txn).Abort()
	h.Delete()
}

//export pkObjectState
func pkObjectState(handle C.int64_t, scopes *C.pk_scopes, version, length *C.uint64_t, words *C.pk_words) (rc C.int) {
	defer guarded("read object", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if tx := txIn(scopes, o.space); tx != nil {
		state, err := tx.State(o.Object)
		if err == nil {
			*version, *length = C.uint64_t(state.Version), C.uint64_t(state.Length)
			if state.Flags&object.FlagCache != 0 {
				var n uint64
				n, err = coll.DictLen(tx, o.Object)
				*length = C.uint64_t(n)
			}
		}
		return failed(err, words)
	}
	state, err := o.PeekState()
	if state.Flags&object.FlagCache != 0 && state.Due != 0 {
		*version = C.uint64_t(state.Version)
		return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
			n, err := coll.DictLen(tx, o)
			*length = C.uint64_t(n)
			return err
		})
	}
	*version, *length = C.uint64_t(state.Version), C.uint64_t(state.Length)
	return failed(err, words)
}

//export pkObjectExists
func pkObjectExists(handle C.int64_t, scopes *C.pk_scopes, exists *C.int, words *C.pk_words) (rc C.int) {
	defer guarded("read object", words, &rc)
	var version, length C.uint64_t
	rc = pkObjectState(handle, scopes, &version, &length, words)
	*exists = 1
	if rc == C.int(errs.ObjectNotFound) {
		C.free(unsafe.Pointer(words.op))
		C.free(unsafe.Pointer(words.subject))
		C.free(unsafe.Pointer(words.detail))
		*words = C.pk_words{}
		*exists, rc = 0, C.PK_OK
	}
	return rc
}

//export pkObjectChannel
func pkObjectChannel(handle C.int64_t, channel *C.int, words *C.pk_words) (rc C.int) {
	defer guarded("read object", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	*channel = C.int(o.Channel())
	return C.PK_OK
}

//export pkAttrGet
func pkAttrGet(handle C.int64_t, scopes *C.pk_scopes, name unsafe.Pointer, n C.size_t, got *C.pk_got, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("read attribute", words, &rc)
	if o, ok := objects.at(int64(handle)); ok {
		if tx := txIn(scopes, o.space); tx != nil {
			value, err := tx.GetAttr(o.Object, text(name, n))
			found(got, value, tx.Mode() == store.Write)
			return failed(err, words)
		}
	}
	return read(handle, nil, words, func(tx *object.Tx, o *object.Object) error {
		tx.Hurry(wait == nil)
		value, err := tx.GetAttr(o, text(name, n))
		if err == nil {
			copied(got, value)
		}
		return err
	})
}

//export pkAttrSet
func pkAttrSet(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("set attribute", words, &rc)
	name := text(unsafe.Pointer(e.key), e.keylen)
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return tx.SetAttr(o, name, bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
	})
}

//export pkAttrDel
func pkAttrDel(handle C.int64_t, scopes *C.pk_scopes, name unsafe.Pointer, n C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("delete attribute", words, &rc)
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return tx.DelAttr(o, text(name, n))
	})
}

//export pkAttrList
func pkAttrList(handle C.int64_t, scopes *C.pk_scopes, batch *C.pk_batch, words *C.pk_words) (rc C.int) {
	defer guarded("list attributes", words, &rc)
	return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
		names, err := tx.Attrs(o)
		if err != nil {
			return err
		}
		var packed []byte
		for _, name := range names {
			packed = append(append(packed, name...), 0)
		}
		batch.p, batch.n = (*C.uchar)(C.CBytes(packed)), C.size_t(len(packed))
		return nil
	})
}
