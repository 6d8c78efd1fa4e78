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
var remapPatience = 2 * time.Second

// maxIdle is how many ended read transactions are kept, where that is not
// more than idleShare of all slots: others need some, too.
const (
	maxIdle   = 64
	idleShare = 8
)

// readers counts the transactions that use the map, and keeps read
// transactions that were reset: renewing one costs a tenth of beginning one,
// and its reader slot stays taken.
type readers struct {
	mu     sync.Mutex
	idle   []*C.MDB_txn
	most   int // of idle
	active int
	// remapping keeps new transactions out while the map changes.
	remapping bool
	// changed is closed, and made anew, when something changed for those who
	// wait for or because of a change of the map.
	changed chan struct{}
	// pinned is when each read transaction that a caller holds began.
	pinned map[*Txn]time.Time
}

func (r *readers) init() {
	r.changed = make(chan struct{})
	r.pinned = map[*Txn]time.Time{}
}

// announce wakes those who wait for a change. The caller has the lock.
func (r *readers) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// enter counts one more user of the map, unless the space is closed, and for a
// reader returns an idle read transaction if there is one.
func (s *Space) enter(read bool) (txn *C.MDB_txn, err error) {
	r := &s.readers
	r.mu.Lock()
	for r.remapping {
		changed := r.changed
		r.mu.Unlock()
		<-changed
		r.mu.Lock()
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
	if txn != nil && len(r.idle) >= r.most {
		// While it still counts: the environment must stay until it is gone.
		r.mu.Unlock()
		C.pk_abort(txn)
		txn = nil
		r.mu.Lock()
	}
	r.active--
	if txn != nil {
		r.idle = append(r.idle, txn)
	}
	if r.remapping {
		r.announce()
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
// It waits no longer than p allows, nor than remapPatience.
func (s *Space) exclusive(own int, p *patience) error {
	const op = "resize"
	r := &s.readers
	begun := time.Now()
	mine := false
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if !r.remapping {
			r.remapping, mine = true, true
		}
		if mine && r.active <= own {
			return nil
		}
		changed := r.changed
		left := min(p.step(), remapPatience-time.Since(begun))
		r.mu.Unlock()
		err := p.interrupted(op, s)
		switch {
		case err != nil:
		case left <= 0 && p.wait.Timeout == 0:
			err = errs.New(errs.WouldBlock, op, s.name, "transactions of this process are open, and it cannot be resized meanwhile")
		case left <= 0:
			err = errs.Newf(errs.Conflict, op, s.name,
				"transactions of this process stayed open for %v; end snapshots and iterators and try again", time.Since(begun).Round(time.Millisecond))
		default:
			timer := time.NewTimer(left)
			select {
			case <-changed:
			case <-timer.C:
			}
			timer.Stop()
		}
		r.mu.Lock()
		if err != nil {
			if mine {
				r.remapping = false
				r.announce()
			}
			return err
		}
	}
}

func (s *Space) shared() {
	r := &s.readers
	r.mu.Lock()
	r.remapping = false
	r.announce()
	r.mu.Unlock()
}

// renewed returns a read transaction on the last commit. The caller has
// entered, and leaves when it fails.
func (s *Space) renewed(txn *C.MDB_txn) (*C.MDB_txn, C.int) {
	if txn != nil {
		rc := C.pk_renew(s.page, txn)
		if rc == 0 {
			return txn, 0
		}
		C.pk_abort(txn)
		return nil, rc
	}
	rc := C.pk_begin_read(s.page, s.raw, &txn)
	if rc == mdbReadersFull {
		if dead, err := s.env.ReaderCheck(); err == nil && dead > 0 {
			rc = C.pk_begin_read(s.page, s.raw, &txn)
		}
	}
	return txn, rc
}

// held makes a transaction that the caller holds of one that was begun.
func (s *Space) held(txn *C.MDB_txn) *Txn {
	t := &Txn{s: s, txn: txn, mode: store.Read}
	s.readers.mu.Lock()
	s.readers.pinned[t] = time.Now()
	s.readers.mu.Unlock()
	return t
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
			return s.held(txn), nil
		}
		s.readers.leave(nil)
		if rc == mdbMapResized && attempt < 3 {
			p := newPatience(store.Wait{Timeout: remapPatience})
			if err := s.adopt(&p); err != nil {
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
	found := C.pk_peek(s.page, txn, s.dbi, kp, kn, dp, C.size_t(cap(dst)))
	switch found.rc {
	case 0:
		s.readers.leave(txn)
		return dst[:found.n], nil, nil
	case mdbNotFound:
		s.readers.leave(txn)
		return nil, nil, store.ErrNotFound
	case pinned:
		return gobytes(found.p, found.n), s.held(txn), nil
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
