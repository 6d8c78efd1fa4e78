package lmdbstore

/*
#cgo CFLAGS: -std=gnu11 -O2 -Wall -pthread
#cgo linux LDFLAGS: -pthread -Wl,--unresolved-symbols=ignore-all
#include <errno.h>
#include <stdlib.h>
#include "engine.h"

#cgo noescape pk_peek
#cgo nocallback pk_peek
#cgo noescape pk_get
#cgo nocallback pk_get
#cgo noescape pk_put
#cgo nocallback pk_put
#cgo noescape pk_del
#cgo nocallback pk_del
#cgo noescape pk_del_range
#cgo nocallback pk_del_range
#cgo noescape pk_scan
#cgo nocallback pk_scan
#cgo noescape pk_write_begin
#cgo nocallback pk_write_begin
#cgo noescape pk_write_commit
#cgo nocallback pk_write_commit
#cgo nocallback pk_write_locked
#cgo nocallback pk_write_abort
#cgo noescape pk_begin_read
#cgo nocallback pk_begin_read
#cgo nocallback pk_renew
#cgo nocallback pk_reset
#cgo nocallback pk_page_wait
#cgo noescape pk_page_wait_any
#cgo nocallback pk_page_wait_any
#cgo noescape pk_page_lock
#cgo nocallback pk_page_lock
*/
import "C"

import (
	"errors"
	"reflect"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/PowerDNS/lmdb-go/lmdb"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// LMDB's own error numbers.
const (
	mdbNotFound        = -30798
	mdbPageNotFound    = -30797
	mdbCorrupted       = -30796
	mdbPanic           = -30795
	mdbVersionMismatch = -30794
	mdbInvalid         = -30793
	mdbMapFull         = -30792
	mdbReadersFull     = -30790
	mdbTxnFull         = -30788
	mdbMapResized      = -30785
	mdbBadRslot        = -30783
	mdbBadTxn          = -30782
	mdbBadValSize      = -30781
)

const (
	busy   = C.PK_BUSY
	pinned = C.PK_PINNED

	beforeCommit  = C.PK_BEFORE_COMMIT
	beforePublish = C.PK_BEFORE_PUBLISH
	beforeUnlock  = C.PK_BEFORE_UNLOCK
	beforeWake    = C.PK_BEFORE_WAKE
	inLine        = C.PK_IN_LINE
)

// envOffset is where an lmdb.Env keeps its MDB_env; lmdb-go has no call that
// hands it out.
var envOffset = func() uintptr {
	field, ok := reflect.TypeFor[lmdb.Env]().FieldByName("_env")
	if !ok {
		panic("lmdb-go changed the layout of lmdb.Env; pin the release that go.mod names")
	}
	return field.Offset
}()

func rawEnv(env *lmdb.Env) *C.MDB_env {
	return *(**C.MDB_env)(unsafe.Add(unsafe.Pointer(env), envOffset))
}

// lockedThread runs fn on one OS thread, as a write transaction must be.
func lockedThread(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return fn()
}

func freeString(s *C.char) { C.free(unsafe.Pointer(s)) }

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// failure turns a number of LMDB or the system into an error of the core.
func (s *Space) failure(op string, rc int) error {
	subject := s.name
	switch rc {
	case 0:
		return nil
	case mdbNotFound:
		return store.ErrNotFound
	case mdbMapFull:
		return errs.New(errs.Full, op, subject, "the namespace has no room for this; room is made for the next transaction, so run it again")
	case mdbTxnFull:
		return errs.New(errs.TooBig, op, subject, "the transaction changed more pages than one can hold; split it")
	case mdbReadersFull:
		return errs.New(errs.TooManyReaders, op, subject, "every reader slot is taken; end snapshots, or raise LMDB_MAX_READERS before the namespace is first opened")
	case mdbCorrupted, mdbPageNotFound, mdbInvalid:
		return errs.Newf(errs.Corrupt, op, subject, "the data file is damaged (LMDB error %d); restore a backup, or run a check to see what can be read", rc)
	case mdbVersionMismatch:
		return errs.New(errs.NewerFormat, op, subject, "the data file was written by another version of LMDB")
	case mdbPanic:
		s.dead.Store(true)
		return errs.New(errs.Dead, op, subject, "the environment failed in this process; open the namespace again")
	case mdbMapResized:
		return errs.New(errs.Conflict, op, subject, "another process made the namespace larger while this process holds transactions on it; end them and try again")
	case mdbBadTxn, mdbBadRslot:
		return errs.New(errs.BadTransaction, op, subject, "the transaction failed earlier or has ended; abort it and begin a new one")
	case mdbBadValSize:
		return errs.New(errs.InvalidArgument, op, subject, "a key has at least one byte")
	case int(syscall.ENOMEM):
		return errs.New(errs.IO, op, subject, "the system gives this process no more memory or address space (see ulimit -v); nothing was changed")
	}
	if rc > 0 {
		return ioFailure(op, subject, syscall.Errno(rc))
	}
	return errs.Newf(errs.Internal, op, subject, "LMDB error %d", rc)
}

// probe finds out whether LMDB has given the environment up, which it does
// after a failed write of the roots, whatever it failed with.
func (s *Space) probe() {
	var txn *C.MDB_txn
	if rc := C.pk_begin_read(s.page, s.raw, &txn); rc == 0 {
		C.pk_abort(txn)
	} else {
		_ = s.failure("probe", int(rc)) // which notes it
	}
}

// openFailure is failure for what lmdb-go returns.
func (s *Space) openFailure(err error) error { return s.lmdbFailure("open namespace", err) }

func (s *Space) lmdbFailure(op string, err error) error {
	if wrapped, ok := errors.AsType[*lmdb.OpError](err); ok { // it does not unwrap
		err = wrapped.Errno
	}
	switch number := err.(type) {
	case syscall.Errno:
		return s.failure(op, int(number))
	case lmdb.Errno:
		return s.failure(op, int(number))
	}
	return ioFailure(op, s.name, err)
}

// ioFailure is an error of the system as one of the core. A nil cause gives
// nil.
func ioFailure(op, subject string, cause error) error {
	code := errs.IO
	for _, known := range []struct {
		number syscall.Errno
		code   errs.Code
	}{
		{syscall.ENOSPC, errs.Full},
		{syscall.EDQUOT, errs.Full},
		{syscall.EFBIG, errs.Full},
		{syscall.EACCES, errs.ReadOnly},
		{syscall.EPERM, errs.ReadOnly},
		{syscall.EROFS, errs.ReadOnly},
	} {
		if errors.Is(cause, known.number) {
			code = known.code
		}
	}
	return errs.Wrap(code, op, subject, cause)
}

// checkKey refuses what LMDB would, before anything changed.
func (s *Space) checkKey(op string, key []byte) error {
	if len(key) == 0 {
		return s.failure(op, mdbBadValSize)
	}
	if len(key) > store.MaxKey {
		return errs.Newf(errs.TooBig, op, s.name, "a key of %d bytes is longer than the %d that the store takes", len(key), store.MaxKey)
	}
	return nil
}

// cbytes is the address and length of b as C takes them; b may be empty.
func cbytes(b []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.SliceData(b)), C.size_t(len(b))
}

// mapped is an address in the store as a pointer.
func mapped(address C.uintptr_t) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address)) // not Go's memory: it does not move
}

// gobytes is C memory as a slice; it is the store's, not the collector's.
func gobytes(p unsafe.Pointer, n C.size_t) []byte {
	if n == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(p), int(n))
}

// dieAt, cannotWaitAny and cannotAllocate are for tests, which cannot use cgo themselves.
func dieAt(point int) { C.pk_die_at = C.int(point) }

func cannotWaitAny(cannot bool) { C.pk_cannot_wait_any = cbool(cannot) }

func cannotAllocate(cannot bool) { C.pk_cannot_allocate = cbool(cannot) }
