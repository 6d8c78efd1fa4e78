package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"sync"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// remapPatience bounds the wait for this process's transactions to end when
// the map has to change under them.
const remapPatience = 2 * time.Second

// readers counts the transactions that use the map, and keeps read
// transactions that were reset: renewing one costs a tenth of beginning one,
// and its reader slot stays taken.
type readers struct {
	mu     sync.Mutex
	idle   []*C.MDB_txn
	active int
	// remapping keeps new transactions out while the map changes.
	remapping bool
	changed   *sync.Cond
	// pinned is when each read transaction that a caller holds began.
	pinned map[*Txn]time.Time
}

func (r *readers) init() {
	r.changed = sync.NewCond(&r.mu)
	r.pinned = map[*Txn]time.Time{}
}

// enter counts one more user of the map, unless the space is closed, and for a
// reader returns an idle read transaction if there is one.
func (s *Space) enter(read bool) (txn *C.MDB_txn, err error) {
	r := &s.readers
	r.mu.Lock()
	for r.remapping {
		r.changed.Wait()
	}
	if s.dead.Load() {
		r.mu.Unlock()
		return nil, s.alive("use")
	}
	r.active++
	if n := len(r.idle); read && n > 0 {
		txn, r.idle = r.idle[n-1], r.idle[:n-1]
	}
	r.mu.Unlock()
	return txn, nil
}

// leave counts one transaction less; a read transaction that was reset is
// kept for the next reader.
func (r *readers) leave(txn *C.MDB_txn) {
	r.mu.Lock()
	r.active--
	if txn != nil {
		r.idle = append(r.idle, txn)
	}
	if r.remapping {
		r.changed.Broadcast()
	}
	r.mu.Unlock()
}

// drop ends the idle transactions, before their environment is closed.
func (r *readers) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, txn := range r.idle {
		C.pk_abort(txn)
	}
	r.idle = nil
}

// oldest is the age of the oldest read transaction that a caller holds.
func (r *readers) oldest() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var age time.Duration
	for _, begun := range r.pinned {
		age = max(age, time.Since(begun))
	}
	return age
}

// exclusive waits until no transaction of this process uses the map and keeps
// new ones out until shared is called. own is how many the caller has itself.
func (s *Space) exclusive(own int) error {
	r := &s.readers
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.remapping {
		r.changed.Wait()
	}
	r.remapping = true
	expired := false
	timer := time.AfterFunc(remapPatience, func() {
		r.mu.Lock()
		expired = true
		r.changed.Broadcast()
		r.mu.Unlock()
	})
	defer timer.Stop()
	for r.active > own && !expired {
		r.changed.Wait()
	}
	if r.active > own {
		r.remapping = false
		r.changed.Broadcast()
		return errs.Newf(errs.Conflict, "resize", s.name,
			"%d transactions of this process stayed open for %v; end snapshots and iterators and try again", r.active-own, remapPatience)
	}
	return nil
}

func (s *Space) shared() {
	r := &s.readers
	r.mu.Lock()
	r.remapping = false
	r.changed.Broadcast()
	r.mu.Unlock()
}

// adopt takes the map size that another process gave the environment.
func (s *Space) adopt() error {
	if err := s.exclusive(0); err != nil {
		return err
	}
	defer s.shared()
	if err := s.env.SetMapSize(0); err != nil {
		return s.openFailure(err)
	}
	return nil
}

// renewed returns a read transaction on the last commit. The caller has
// entered, and leaves when it fails.
func (s *Space) renewed(txn *C.MDB_txn) (*C.MDB_txn, C.int) {
	if txn != nil {
		rc := C.pk_renew(txn)
		if rc == 0 {
			return txn, 0
		}
		C.pk_abort(txn)
		return nil, rc
	}
	rc := C.pk_begin_read(s.raw, &txn)
	if rc == mdbReadersFull {
		if dead, err := s.env.ReaderCheck(); err == nil && dead > 0 {
			rc = C.pk_begin_read(s.raw, &txn)
		}
	}
	return txn, rc
}

// beginRead starts a read transaction that the caller holds.
func (s *Space) beginRead() (*Txn, error) {
	for attempt := 0; ; attempt++ {
		idle, err := s.enter(true)
		if err != nil {
			return nil, err
		}
		txn, rc := s.renewed(idle)
		if rc == 0 {
			t := &Txn{s: s, txn: txn, mode: store.Read}
			s.readers.mu.Lock()
			s.readers.pinned[t] = time.Now()
			s.readers.mu.Unlock()
			return t, nil
		}
		s.readers.leave(nil)
		if rc == mdbMapResized && attempt < 3 {
			if err := s.adopt(); err != nil {
				return nil, err
			}
			continue
		}
		return nil, s.failure("read", int(rc))
	}
}

// Peek reads one key in a transaction of its own.
func (s *Space) Peek(key, dst []byte) (value []byte, pin store.Txn, err error) {
	if err := s.checkKey("read", key); err != nil {
		return nil, nil, err
	}
	txn, err := s.enter(true)
	if err != nil {
		return nil, nil, err
	}
	if txn == nil {
		s.readers.leave(nil)
		return s.peekSlowly(key, dst)
	}
	kp, kn := cbytes(key)
	dp, _ := cbytes(dst)
	found := C.pk_peek(txn, s.dbi, kp, kn, dp, C.size_t(cap(dst)))
	switch found.rc {
	case 0:
		s.readers.leave(txn)
		return dst[:found.n], nil, nil
	case mdbNotFound:
		s.readers.leave(txn)
		return nil, nil, store.ErrNotFound
	case pinned:
		t := &Txn{s: s, txn: txn, mode: store.Read}
		s.readers.mu.Lock()
		s.readers.pinned[t] = time.Now()
		s.readers.mu.Unlock()
		return gobytes(found.p, found.n), t, nil
	}
	C.pk_abort(txn)
	s.readers.leave(nil)
	return s.peekSlowly(key, dst)
}

// peekSlowly is Peek for the first reader of a process and for what can go
// wrong on the way.
func (s *Space) peekSlowly(key, dst []byte) ([]byte, store.Txn, error) {
	t, err := s.beginRead()
	if err != nil {
		return nil, nil, err
	}
	value, err := t.Get(key)
	if err == nil && len(value) > cap(dst) {
		return value, t, nil
	}
	if err == nil {
		value = append(dst[:0], value...)
	}
	t.Abort()
	return value, nil, err
}
