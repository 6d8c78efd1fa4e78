package parkit_go

/*
#include <stdlib.h>
#include "lane.h"

static int pk_ask(pk_wait *wait) { return pk_interrupted(wait); }
*/
import "C"

import (
	"errors"
	"os"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// The exported functions of the lane return a C int: PK_OK, a PK_ code of
// lane.h, or a code of errs with words beside it. None waits unless it is
// given a wait: then the GIL has been let go of.
//
// What they get from C is memory of the calling thread, which stays while the
// call runs, also where another thread runs the operation for it.

//export pkPing
func pkPing() C.longlong { return 1 }

// pkConfigure sets the generation, and starts the runtime's poller, of which the
// first file or timer would have need: where no descriptor is left by then, the
// runtime ends the process. It is an errno, 0 for none.
//
//export pkConfigure
func pkConfigure(number C.longlong) C.int {
	generation.Store(int64(number))
	r, w, err := os.Pipe()
	if err != nil {
		var errno syscall.Errno
		errors.As(err, &errno)
		return C.int(errno)
	}
	_, _ = r.Close(), w.Close()
	return 0
}

// guarded turns a panic into an error, as bound does for gopy's functions.
func guarded(op string, words *C.pk_words, rc *C.int) {
	if cause := recover(); cause != nil {
		*rc = failed(afterPanic(op, cause, debug.Stack()), words)
	}
}

// failed gives C the code of an error, and the words unless the code says all.
func failed(err error, words *C.pk_words) C.int {
	switch {
	case err == nil:
		return C.PK_OK
	case err == store.ErrNotFound:
		return C.PK_NOTFOUND
	}
	known := asError(err)
	if known.Code == errs.WouldBlock {
		return C.PK_AGAIN
	}
	words.op, words.subject = C.CString(known.Op), C.CString(known.Subject)
	words.detail = C.CString(known.Sentence())
	if known.Code == errs.Dead || known.Code == errs.Stale {
		return C.PK_STALE // opening it again is what helps
	}
	return C.int(known.Code)
}

// asError is the core's error in err's chain; any other is one of our bugs.
func asError(err error) *errs.Error {
	var known *errs.Error
	if errors.As(err, &known) {
		return known
	}
	return &errs.Error{Code: errs.Internal, Detail: err.Error()}
}

// waitOf is a wait as the store takes it: none at all for nil.
func waitOf(wait *C.pk_wait) store.Wait {
	if wait == nil {
		return store.Wait{}
	}
	w := store.Wait{Timeout: -1}
	if wait.timeout_ns >= 0 {
		w.Timeout = time.Duration(wait.timeout_ns)
	}
	if wait.main != 0 {
		w.Interrupted = func() bool { return C.pk_ask(wait) != 0 }
	}
	return w
}

// written runs a change of an object: in the thread's transaction if it has
// one, else in one of its own, which waits only where wait is given.
func written(handle C.int64_t, scopes *C.pk_scopes, wait *C.pk_wait, words *C.pk_words, change func(*object.Tx, *object.Object) error) C.int {
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if panicked.Load() != nil {
		return failed(refusal("write"), words)
	}
	if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
		return failed(change(tx, o.Object), words)
	}
	if wait == nil && o.Space.Store().Durable() {
		return C.PK_AGAIN // it will wait for a flush
	}
	return failed(o.Space.Update(waitOf(wait), func(tx *object.Tx) error {
		tx.Hurry(wait == nil)
		return change(tx, o.Object)
	}), words)
}

// read runs a look at an object in the thread's transaction if it has one,
// else in a read transaction of its own.
func read(handle C.int64_t, scopes *C.pk_scopes, words *C.pk_words, look func(*object.Tx, *object.Object) error) C.int {
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if panicked.Load() != nil {
		return failed(refusal("read"), words)
	}
	if tx := txIn(scopes, o.space); tx != nil {
		return failed(look(tx, o.Object), words)
	}
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	if err != nil {
		return failed(err, words)
	}
	defer tx.Abort()
	return failed(look(tx, o.Object), words)
}

// bytesOf is C memory as a slice.
func bytesOf[T ~*C.uchar | ~unsafe.Pointer](p T, n C.size_t) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))
}

// found tells C of a value in the store.
func found(got *C.pk_got, value []byte, unstable bool) {
	got.p = (*C.uchar)(unsafe.SliceData(value))
	got.n = C.size_t(len(value))
	got.pin = 0
	got.unstable, got.owned = 0, 0
	if unstable {
		got.unstable = 1
	}
}

// copied gives C a value in memory of its own, which pk_take frees.
func copied(got *C.pk_got, value []byte) {
	*got = C.pk_got{p: (*C.uchar)(C.CBytes(value)), n: C.size_t(len(value)), owned: 1}
}
