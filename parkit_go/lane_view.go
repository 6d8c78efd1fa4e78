package parkit_go

/*
#include <stdlib.h>
#include "lane.h"
*/
import "C"

import (
	"runtime/cgo"
	"time"
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// view is memory of the store that Python looks at. It is as it was for as
// long as the transaction of its snapshot lives, and that lives for as long as
// it has views, also after the scope has ended.
type view struct {
	in   *held
	path string
}

// largeView is from which size on, in bytes, a file is looked at without the GIL.
const largeView = 16 << 20

// look gives C a view of what find returns, where the thread's scope on the
// object is a snapshot; PK_NOTFOUND where it is not, or find has nothing.
func look(handle C.int64_t, scopes *C.pk_scopes, seen *C.pk_seen, words *C.pk_words, find func(*object.Tx, *object.Object) ([]byte, bool, error)) C.int {
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	h := heldIn(scopes, o.space)
	if h == nil || h.Mode() != store.Read {
		return C.PK_NOTFOUND
	}
	memory, ok, err := find(h.Tx, o.Object)
	if err != nil {
		return failed(err, words)
	}
	if !ok {
		return C.PK_NOTFOUND
	}
	h.sees(1)
	seen.p, seen.n = (*C.uchar)(unsafe.SliceData(memory)), C.size_t(len(memory))
	seen.number = C.uintptr_t(cgo.NewHandle(&view{in: h, path: o.Space.Namespace() + "/" + o.Name}))
	return C.PK_OK
}

//export pkFileView
func pkFileView(handle C.int64_t, scopes *C.pk_scopes, seen *C.pk_seen, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("read file", words, &rc)
	large := false
	rc = look(handle, scopes, seen, words, func(tx *object.Tx, o *object.Object) ([]byte, bool, error) {
		if state, err := tx.State(o); err != nil || wait == nil && state.Length > largeView {
			large = err == nil
			return nil, false, err
		}
		return coll.FileView(tx, o)
	})
	if large {
		return C.PK_AGAIN // its sum may have to be checked: let other threads run meanwhile
	}
	return rc
}

//export pkAttrView
func pkAttrView(handle C.int64_t, scopes *C.pk_scopes, name unsafe.Pointer, n C.size_t, seen *C.pk_seen, words *C.pk_words) (rc C.int) {
	defer guarded("read attribute", words, &rc)
	return look(handle, scopes, seen, words, func(tx *object.Tx, o *object.Object) ([]byte, bool, error) {
		value, err := tx.GetAttr(o, text(name, n))
		return value, true, err
	})
}

// pkViewEnd lets go of a view. Where its scope has ended before, late is how
// long ago, in nanoseconds, and path, which C frees, the object's.
//
//export pkViewEnd
func pkViewEnd(number C.uintptr_t, late *C.int64_t, path **C.char) {
	var words C.pk_words
	var rc C.int
	defer guarded("end view", &words, &rc)
	h := cgo.Handle(number)
	v := h.Value().(*view)
	h.Delete()
	if ended, was := v.in.sees(-1); was {
		*late = C.int64_t(max(1, time.Since(ended)))
		*path = C.CString(v.path)
	}
}

// sees counts the views of a snapshot's transaction. The last one ends the
// transaction if the scope has left it to them, on whatever thread.
func (h *held) sees(more int) (ended time.Time, was bool) {
	h.mu.Lock()
	h.views += more
	last := h.left && h.views == 0
	ended, was = h.ended, h.left
	h.mu.Unlock()
	if last {
		h.Abort()
	}
	return ended, was
}

// leave hands the transaction of a scope that ends over to its views, if it
// has any.
func (h *held) leave() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.views == 0 {
		return false
	}
	h.left, h.ended = true, time.Now()
	return true
}
