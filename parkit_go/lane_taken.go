package parkit_go

/*
#include "lane.h"
*/
import "C"

import (
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
)

// handed gives C what an operation removed: in the caller's room, if all of it
// fitted there, else in memory of its own.
func handed(got *C.pk_got, with *C.pk_taken, taken coll.Taken, room []byte) {
	packed := taken.Packed()
	if len(packed) <= cap(room) {
		found(got, packed, false)
	} else {
		copied(got, packed)
	}
	value, place := taken.Lengths()
	got.n = C.size_t(value)
	with.place, with.own = C.size_t(place), C.size_t(len(packed)-value-place)
	with.due = C.int64_t(taken.Due)
}

// pkPutBack puts back what handed has given: PK_TO_QUEUE, PK_TO_FIRST,
// PK_TO_LAST, PK_TO_DICT.
//
//export pkPutBack
func pkPutBack(handle C.int64_t, scopes *C.pk_scopes, where C.int, got *C.pk_got, with *C.pk_taken, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("put back", words, &rc)
	packed := bytesOf(unsafe.Pointer(got.p), got.n+with.place+with.own)
	taken := coll.TakenOf(packed, int(got.n), int(with.place), int64(with.due))
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		switch where {
		case C.PK_TO_QUEUE:
			return coll.QueueReturn(tx, o, taken)
		case C.PK_TO_FIRST, C.PK_TO_LAST:
			return coll.ArrayReturn(tx, o, taken, where == C.PK_TO_LAST)
		case C.PK_TO_DICT:
			return coll.DictReturn(tx, o, taken)
		}
		return errs.Newf(errs.InvalidArgument, "put back", o.Name, "there is no such place: %d", where)
	})
}
