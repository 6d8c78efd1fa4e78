package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Savepoint marks a point to come back to.
func (t *Txn) Savepoint() error {
	if err := t.changeable(); err != nil {
		return err
	}
	t.undo.Mark()
	t.depth++
	return nil
}

// Rollback undoes everything since the newest savepoint and removes it.
func (t *Txn) Rollback() error {
	if err := t.changeable(); err != nil {
		return err
	}
	// Counted here: a guest of another's transaction stands on a mark that is
	// not its own.
	if t.depth == 0 {
		return errs.New(errs.BadTransaction, "roll back", t.s.name, "no savepoint is open")
	}
	t.depth--
	return t.undo.Rollback(t.restore, t.remove)
}

// restore and remove undo a write. They are allowed what a deletion is, so
// that they still work where there was no room for what is undone.
func (t *Txn) restore(key, value []byte) error {
	kp, kn := cbytes(key)
	vp, vn := cbytes(value)
	if t.s.memory {
		if err := t.blocksFor(uint64(len(value)), delPages); err != nil {
			t.broken = err
			return err
		}
	}
	done := C.pk_put(t.txn, t.s.dbi, kp, kn, vp, vn, 0)
	t.next = uint64(done.next)
	if done.rc != 0 {
		return t.failed("roll back", int(done.rc))
	}
	return nil
}

func (t *Txn) remove(key []byte) error {
	if t.s.memory {
		if err := t.blocksFor(0, delPages); err != nil {
			t.broken = err
			return err
		}
	}
	kp, kn := cbytes(key)
	done := C.pk_del(t.txn, t.s.dbi, kp, kn)
	t.next = uint64(done.next)
	if done.rc != 0 && done.rc != mdbNotFound {
		return t.failed("roll back", int(done.rc))
	}
	return nil
}

// Release removes the newest savepoint and keeps what came after it.
func (t *Txn) Release() error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.depth == 0 {
		return errs.New(errs.BadTransaction, "release savepoint", t.s.name, "no savepoint is open")
	}
	t.depth--
	return t.undo.Release()
}

// releaseAll releases the savepoints that are open.
func (t *Txn) releaseAll() {
	t.undo.Reset()
	t.depth = 0
}

// record keeps what a write is about to replace, while a savepoint is open.
func (t *Txn) record(key []byte) error {
	if !t.undo.Needs(key) {
		return nil
	}
	old, err := t.Get(key)
	if err != nil && err != store.ErrNotFound {
		return err
	}
	if t.sharing {
		if err := t.charge(len(key) + len(old)); err != nil {
			return err
		}
	}
	t.undo.Record(key, old, err == nil)
	return nil
}
