package parkit_go

/*
#include <stdlib.h>
#include <string.h>
#include "lane.h"
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/object"
)

// cursor is a collection's cursor and the scope's transaction that it reads, which
// has it drained before it ends.
type cursor struct {
	*coll.Cursor
	in *held
}

//export pkDictCursor
func pkDictCursor(handle C.int64_t, scopes *C.pk_scopes, what, flags C.int, lo *C.uchar, lon C.size_t, hi *C.uchar, hin C.size_t, number *C.uintptr_t, batch *C.pk_batch, words *C.pk_words) (rc C.int) {
	defer guarded("iterate over dict", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	r := coll.KeyRange{
		Lo: append([]byte(nil), bytesOf(lo, lon)...), Hi: append([]byte(nil), bytesOf(hi, hin)...),
		LoOpen: flags&8 != 0, HiOpen: flags&16 != 0,
		Reverse: flags&1 != 0, KeysOnly: what == 0,
	}
	h := heldIn(scopes, o.space)
	found, err := coll.NewDictCursor(o.Object, h.tx(), r)
	return h.iterate(found, err, number, batch, words)
}

//export pkArrayCursor
func pkArrayCursor(handle C.int64_t, scopes *C.pk_scopes, start, stop, step C.int64_t, number *C.uintptr_t, batch *C.pk_batch, words *C.pk_words) (rc C.int) {
	defer guarded("iterate over array", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	h := heldIn(scopes, o.space)
	found, err := coll.NewArrayCursor(o.Object, h.tx(), coll.Slice{Start: int64(start), Stop: int64(stop), Step: int64(step)})
	return h.iterate(found, err, number, batch, words)
}

//export pkArrayTail
func pkArrayTail(handle C.int64_t, scopes *C.pk_scopes, position C.uint64_t, next *C.uint64_t, number *C.uintptr_t, batch *C.pk_batch, words *C.pk_words) (rc C.int) {
	defer guarded("iterate over array", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	h := heldIn(scopes, o.space)
	found, end, err := coll.NewArrayTail(o.Object, h.tx(), uint64(position))
	*next = C.uint64_t(end)
	return h.iterate(found, err, number, batch, words)
}

// tx is the scope's transaction; nil without a scope.
func (h *held) tx() *object.Tx {
	if h == nil {
		return nil
	}
	return h.Tx
}

// iterate gives C the first entries of a cursor that reads in h, if that is
// not nil, and the cursor's number unless these are all.
func (h *held) iterate(found *coll.Cursor, err error, number *C.uintptr_t, batch *C.pk_batch, words *C.pk_words) C.int {
	if err != nil {
		return failed(err, words)
	}
	c := &cursor{Cursor: found, in: h}
	if err := c.into(batch); err != nil {
		c.Close()
		return failed(err, words)
	}
	if batch.done != 0 {
		c.Close()
		return C.PK_OK
	}
	if h != nil {
		h.reads(c, true)
	}
	*number = C.uintptr_t(cgo.NewHandle(c))
	return C.PK_OK
}

//export pkCursorNext
func pkCursorNext(number C.uintptr_t, batch *C.pk_batch, words *C.pk_words) (rc C.int) {
	defer guarded("iterate", words, &rc)
	return failed(cgo.Handle(number).Value().(*cursor).into(batch), words)
}

//export pkCursorClose
func pkCursorClose(number C.uintptr_t) {
	h := cgo.Handle(number)
	c := h.Value().(*cursor)
	h.Delete()
	if c.in != nil {
		c.in.reads(c, false)
	}
	c.Close()
}

// into copies the next entries to C.
func (c *cursor) into(batch *C.pk_batch) error {
	packed, last, err := c.Next()
	if err != nil {
		return err
	}
	if n := C.size_t(len(packed)); n > batch.cap {
		C.free(unsafe.Pointer(batch.p))
		batch.p, batch.cap = (*C.uchar)(C.malloc(n)), n
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(batch.p)), len(packed)), packed)
	batch.n, batch.done = C.size_t(len(packed)), 0
	if last {
		batch.done = 1
	}
	return nil
}
