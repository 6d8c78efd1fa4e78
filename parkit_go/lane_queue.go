package parkit_go

/*
#include <stdlib.h>
#include "lane.h"
*/
import "C"

import (
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// answered is failed, with what a queue answers in codes of their own.
func answered(err error, words *C.pk_words) C.int {
	switch err {
	case coll.ErrQueueFull:
		return C.PK_FULL
	case coll.ErrQueueShut:
		return C.PK_SHUT
	case coll.ErrNothingPending:
		return C.PK_NOTHING
	}
	return failed(err, words)
}

// changed is written for an operation of a queue.
func changed(handle C.int64_t, scopes *C.pk_scopes, wait *C.pk_wait, words *C.pk_words, change func(*object.Tx, *object.Object) error) (rc C.int) {
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if panicked.Load() != nil {
		return failed(refusal("write"), words)
	}
	if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
		return answered(change(tx, o.Object), words)
	}
	if wait == nil && o.Space.Store().Durable() {
		return C.PK_AGAIN // it will wait for a flush
	}
	return answered(coll.Updated(o.Object, waitOf(wait), func(tx *object.Tx) error {
		tx.Hurry(wait == nil)
		return change(tx, o.Object)
	}), words)
}

// hasty reports whether a queue does not wait where its caller does not say.
func hasty(handle C.int64_t, quick C.int) bool {
	if quick == 0 {
		return false
	}
	o, ok := objects.at(int64(handle))
	if !ok {
		return false
	}
	state, err := o.PeekState()
	return err == nil && state.Flags&object.FlagQuick != 0 // an error comes again
}

// patient runs a wait of a queue, which a transaction of the thread must not
// do: what it waits for could not come.
func patient(handle C.int64_t, scopes *C.pk_scopes, wait *C.pk_wait, words *C.pk_words, op string, run func(*object.Object, store.Wait) error) C.int {
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if panicked.Load() != nil {
		return failed(refusal(op), words)
	}
	if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
		return failed(errs.New(errs.BadTransaction, op, o.Name,
			"it would wait for what others do, and nobody else can write while this thread has a transaction open; wait outside of it, or use block=False"), words)
	}
	return answered(run(o.Object, waitOf(wait)), words)
}

//export pkInTransaction
func pkInTransaction(handle C.int64_t, scopes *C.pk_scopes) C.int {
	if alone(handle, scopes) {
		return 0
	}
	return 1
}

//export pkQueuePut
func pkQueuePut(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("put", words, &rc)
	if o, ok := objects.at(int64(handle)); ok {
		// As written does, without a closure on the heap.
		if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
			return answered(coll.QueuePut(tx, o.Object, bytesOf(e.key, e.keylen), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen)), words)
		}
	}
	return changed(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.QueuePut(tx, o, bytesOf(e.key, e.keylen), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
	})
}

//export pkQueuePutWait
func pkQueuePutWait(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, quick C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("put", words, &rc)
	if hasty(handle, quick) {
		return pkQueuePut(handle, scopes, e, wait, words)
	}
	return patient(handle, scopes, wait, words, "put", func(o *object.Object, w store.Wait) error {
		return coll.QueuePutWait(o, w, bytesOf(e.key, e.keylen), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
	})
}

//export pkQueueGet
func pkQueueGet(handle C.int64_t, scopes *C.pk_scopes, room *C.uchar, cap C.size_t, got *C.pk_got, with *C.pk_taken, lease *C.pk_lease, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("get", words, &rc)
	dst := unsafe.Slice((*byte)(unsafe.Pointer(room)), int(cap))[:0]
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	terms, err := termsOf(o.Object, lease)
	if err != nil {
		return failed(err, words)
	}
	if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
		taken, err := take(tx, o.Object, lease, terms, dst)
		if err == nil {
			handed(got, with, taken, dst)
		}
		return answered(err, words)
	}
	var taken coll.Taken
	rc = changed(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) (err error) {
		taken, err = take(tx, o, lease, terms, dst)
		return err
	})
	if rc == C.PK_OK {
		handed(got, with, taken, dst)
	}
	return rc
}

//export pkQueueGetWait
func pkQueueGetWait(handle C.int64_t, scopes *C.pk_scopes, room *C.uchar, cap C.size_t, got *C.pk_got, with *C.pk_taken, lease *C.pk_lease, quick C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("get", words, &rc)
	if hasty(handle, quick) {
		return pkQueueGet(handle, scopes, room, cap, got, with, lease, wait, words)
	}
	dst := unsafe.Slice((*byte)(unsafe.Pointer(room)), int(cap))[:0]
	var taken coll.Taken
	rc = patient(handle, scopes, wait, words, "get", func(o *object.Object, w store.Wait) (err error) {
		if lease == nil {
			taken, err = coll.QueueTakeWait(o, w, dst)
			return err
		}
		terms, err := termsOf(o, lease)
		if err != nil {
			return err
		}
		leased, value, err := coll.QueueLeaseWait(o, w, terms, dst)
		taken = coll.TakenOf(value, len(value), 0, 0)
		told(lease, leased)
		return err
	})
	if rc == C.PK_OK {
		handed(got, with, taken, dst)
	}
	return rc
}

//export pkQueueJoin
func pkQueueJoin(handle C.int64_t, scopes *C.pk_scopes, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("join", words, &rc)
	return patient(handle, scopes, wait, words, "join", coll.QueueJoin)
}

// pkQueueChange does what takes no item: PK_DONE, PK_CLEAR, PK_SHUT_DOWN,
// PK_REOPEN, PK_LIMIT, PK_ATTEMPTS, PK_BLOCKING.
//
//export pkQueueChange
func pkQueueChange(handle C.int64_t, scopes *C.pk_scopes, what C.int, number C.uint64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("change queue", words, &rc)
	if what == C.PK_CLEAR && wait == nil && alone(handle, scopes) {
		return C.PK_AGAIN
	}
	return changed(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		switch what {
		case C.PK_DONE:
			return coll.QueueDone(tx, o)
		case C.PK_CLEAR:
			return coll.QueueClear(tx, o)
		case C.PK_LIMIT:
			return coll.QueueLimit(tx, o, uint64(number))
		case C.PK_ATTEMPTS:
			return coll.QueueAttempts(tx, o, uint64(number))
		case C.PK_BLOCKING:
			return coll.QueueBlocking(tx, o, number != 0)
		}
		return coll.QueueShut(tx, o, what == C.PK_SHUT_DOWN)
	})
}
