package parkit_go

/*
#include <stdlib.h>
#include <string.h>
#include "lane.h"
*/
import "C"

import (
	"context"
	"unsafe"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// heldIn is the transaction of the innermost scope on a space, or nil.
func heldIn(scopes *C.pk_scopes, space int64) *held {
	if at := innermost(scopes, space); at >= 0 {
		return (*held)(unsafe.Slice(scopes.items, int(scopes.n))[at].tx)
	}
	return nil
}

func innermost(scopes *C.pk_scopes, space int64) int {
	if scopes == nil {
		return -1
	}
	items := unsafe.Slice(scopes.items, int(scopes.n))
	for i := len(items) - 1; i >= 0; i-- {
		if int64(items[i].space) == space {
			return i
		}
	}
	return -1
}

// push adds a scope to the thread's.
func push(scopes *C.pk_scopes, scope C.pk_scope) error {
	if scopes.n == scopes.cap {
		if scopes.cap == 0 && C.pk_watch_thread_end() != 0 {
			return errs.New(errs.Internal, "begin", "", "the system keeps no more data for threads")
		}
		more := max(8, 2*scopes.cap)
		items := C.realloc(unsafe.Pointer(scopes.items), C.size_t(more)*C.sizeof_pk_scope)
		if items == nil {
			return errs.New(errs.Internal, "begin", "", "out of memory")
		}
		scopes.items, scopes.cap = (*C.pk_scope)(items), more
		forget(scopes, scopes.n, more)
	}
	scopes.n++
	unsafe.Slice(scopes.items, int(scopes.n))[scopes.n-1] = scope
	return nil
}

// forget zeroes places that hold no scope. Go's write barrier looks at what a
// pointer overwrites, in C's memory too: it must never be the address of what
// Go has freed.
func forget(scopes *C.pk_scopes, from, to C.int32_t) {
	first := unsafe.Add(unsafe.Pointer(scopes.items), C.sizeof_pk_scope*int(from))
	C.memset(first, 0, C.sizeof_pk_scope*C.size_t(to-from))
}

//export pkBegin
func pkBegin(number C.int64_t, mode C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("begin", words, &rc)
	if err := refusal("begin"); err != nil {
		return failed(err, words)
	}
	space, err := spaceOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	scopes := C.pk_this_thread()
	scope := C.pk_scope{space: number, mode: mode}
	outer := heldIn(scopes, int64(number))
	switch {
	case mode != 0 && outer != nil && outer.Mode() == store.Write:
		scope.role, scope.tx = C.PK_SAVEPOINT, unsafe.Pointer(outer)
		if err := outer.Savepoint(); err != nil {
			return failed(err, words)
		}
		return failed(push(scopes, scope), words)
	case mode == 0 && outer != nil:
		scope.role, scope.tx = C.PK_JOINED, unsafe.Pointer(outer)
		return failed(push(scopes, scope), words)
	}
	h, err := begin(space, store.Mode(mode), waitOf(wait))
	if err != nil {
		return failed(err, words)
	}
	scope.role, scope.tx = C.PK_ROOT, unsafe.Pointer(h)
	if err := push(scopes, scope); err != nil {
		h.end(false)
		return failed(err, words)
	}
	return C.PK_OK
}

func begin(space *object.Space, mode store.Mode, wait store.Wait) (*held, error) {
	tx, err := space.Begin(mode, wait)
	if err != nil {
		return nil, err
	}
	h := &held{Tx: tx, cursors: map[*cursor]struct{}{}}
	h.pin.Pin(h)
	return h, nil
}

// end ends the transaction of a root scope. Iterators that read in it keep
// what they have yet to give; views keep it open.
func (h *held) end(commit bool) error {
	defer h.pin.Unpin()
	h.drain()
	if h.leave() {
		return nil
	}
	if commit {
		return h.Commit()
	}
	h.Abort()
	return nil
}

//export pkEnd
func pkEnd(number C.int64_t, commit, mayWait C.int, words *C.pk_words) (rc C.int) {
	defer guarded("end", words, &rc)
	scopes := C.pk_this_thread()
	at := innermost(scopes, int64(number))
	if at < 0 {
		return failed(errs.New(errs.BadTransaction, "end", "", "this thread has no such transaction open"), words)
	}
	items := unsafe.Slice(scopes.items, int(scopes.n))
	scope := items[at]
	h := (*held)(scope.tx)
	root := scope.role == C.PK_ROOT
	if root && commit != 0 && mayWait == 0 && scope.mode != 0 && h.Space().Store().Durable() {
		return C.PK_AGAIN
	}
	copy(items[at:], items[at+1:])
	scopes.n--
	forget(scopes, scopes.n, scopes.n+1)
	switch {
	case root:
		return failed(h.end(commit != 0), words)
	case scope.role == C.PK_SAVEPOINT && commit != 0:
		return failed(h.Release(), words)
	case scope.role == C.PK_SAVEPOINT:
		return failed(h.Rollback(), words)
	}
	return C.PK_OK
}

// pkAbortScopes ends what a thread has open when the thread ends.
//
//export pkAbortScopes
func pkAbortScopes(scopes *C.pk_scopes) {
	var words C.pk_words
	var rc C.int
	defer guarded("end thread", &words, &rc)
	for _, scope := range unsafe.Slice(scopes.items, int(scopes.n)) {
		if scope.role == C.PK_ROOT {
			_ = (*held)(scope.tx).end(false) // an abort has nothing to report
		}
	}
	forget(scopes, 0, scopes.n)
	scopes.n = 0
}

//export pkChangeCount
func pkChangeCount(number C.int64_t, channel C.int, count *C.uint32_t, words *C.pk_words) (rc C.int) {
	defer guarded("wait", words, &rc)
	space, err := spaceOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if channel < 0 || channel >= store.Channels {
		return failed(errs.Newf(errs.InvalidArgument, "wait", "", "there is no channel %d", channel), words)
	}
	*count = C.uint32_t(space.Store().Version(store.Channel(channel)))
	return C.PK_OK
}

//export pkWaitChange
func pkWaitChange(number C.int64_t, channel C.int, count *C.uint32_t, timedOut *C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("wait", words, &rc)
	space, err := spaceOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if channel < 0 || channel >= store.Channels {
		return failed(errs.Newf(errs.InvalidArgument, "wait", "", "there is no channel %d", channel), words)
	}
	w := waitOf(wait)
	for {
		seen, err := space.Store().WaitChange(context.Background(), store.Channel(channel), uint32(*count), w)
		switch {
		case err == nil:
			*count = C.uint32_t(seen)
			return C.PK_OK
		case errs.Has(err, errs.Timeout) && wait.timeout_ns < 0:
			continue // no bound was asked for
		case errs.Has(err, errs.Timeout) || errs.Has(err, errs.WouldBlock):
			*timedOut = 1
			return C.PK_OK
		}
		return failed(err, words)
	}
}
