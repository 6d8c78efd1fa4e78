package lmdbstore

/*
#include <errno.h>
#include "engine.h"
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// signalStep is how often a wait that may be interrupted looks whether it was.
const signalStep = 50 * time.Millisecond

// quietStep bounds a wait that nobody interrupts. A wake-up that died with
// the process that was to send it is made up for after as much.
const quietStep = 400 * time.Millisecond

// readerCheckEvery is how many write transactions lie between two looks for
// reader slots of dead processes.
const readerCheckEvery = 4096

// maxRuns bounds how often an update is run again with a larger map: each run
// doubles the room, so that more would exceed any disk.
const maxRuns = 40

// patience counts down one wait.
type patience struct {
	wait     store.Wait
	deadline time.Time
	begun    time.Time
}

func newPatience(wait store.Wait) patience {
	if wait.Timeout == 0 {
		return patience{} // asked not to wait: no need to look at the clock
	}
	if wait.Timeout < 0 {
		wait.Timeout = store.DefaultLockTimeout
	}
	now := time.Now()
	return patience{wait: wait, deadline: now.Add(wait.Timeout), begun: now}
}

// step is how long to sleep before the next look.
func (p *patience) step() time.Duration {
	step := quietStep
	if p.wait.Interrupted != nil {
		step = signalStep
	}
	return max(0, min(step, time.Until(p.deadline)))
}

// rest is what is left of the wait.
func (p *patience) rest() store.Wait {
	wait := p.wait
	if wait.Timeout != 0 {
		wait.Timeout = max(time.Until(p.deadline), 1)
	}
	return wait
}

func (p *patience) interrupted(op string, s *Space) error {
	if p.wait.Interrupted != nil && p.wait.Interrupted() {
		return errs.New(errs.Interrupted, op, s.name, "interrupted")
	}
	return nil
}

// over says why the wait for the turn has ended, or nil.
func (p *patience) over(s *Space) error {
	const op = "wait for the writer's turn"
	if err := p.interrupted(op, s); err != nil {
		return err
	}
	if time.Now().Before(p.deadline) {
		return nil
	}
	return errs.Newf(errs.LockTimeout, op, s.name, "not free after %v: %s; end that transaction, or wait longer with timeout=", time.Since(p.begun).Round(time.Millisecond), s.holder())
}

// holder describes who has the writer's turn.
func (s *Space) holder() string {
	h := C.pk_page_holder(s.page)
	if h.pid == 0 {
		return "it is being passed on"
	}
	what := ""
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", h.pid)); err == nil {
		what = fmt.Sprintf(" (%.80s)", strings.Join(strings.Fields(strings.ReplaceAll(string(line), "\x00", " ")), " "))
	}
	return fmt.Sprintf("process %d%s, thread %d, has held it for %v", h.pid, what, h.tid, time.Duration(h.held_ns).Round(time.Millisecond))
}

// Begin starts a transaction.
func (s *Space) Begin(mode store.Mode, wait store.Wait) (store.Txn, error) {
	if mode == store.Read {
		t, err := s.beginRead()
		if err != nil {
			return nil, err
		}
		return t, nil
	}
	t := new(Txn)
	p := newPatience(wait)
	if err := s.beginInto(t, &p, false); err != nil {
		return nil, err
	}
	return t, nil
}

// writable refuses writing where it can be known beforehand.
func (s *Space) writable() error {
	if err := s.alive("write"); err != nil {
		return err
	}
	if s.profile.ReadOnly {
		return errs.New(errs.ReadOnly, "write", s.name, "the namespace was opened read-only (LMDB_READONLY)")
	}
	return nil
}

// beginInto makes a write transaction of t. roomy insists on the room that an
// earlier transaction lacked.
func (s *Space) beginInto(t *Txn, p *patience, roomy bool) error {
	if err := s.writable(); err != nil {
		return err
	}
	if !s.Durable() { // nothing to share: see Update
		return s.beginWrite(t, p, false, roomy)
	}
	if err := s.enterGate(p); err != nil {
		return err
	}
	err := s.beginWrite(t, p, true, roomy)
	if err != nil {
		s.gate.leave()
	}
	return err
}

// beginWrite takes the writer's turn and makes a transaction with room of t.
func (s *Space) beginWrite(t *Txn, p *patience, gate, roomy bool) error {
	for attempt := 0; ; attempt++ {
		if _, err := s.enter(false); err != nil {
			return err
		}
		w := C.pk_write_begin(s.page, s.raw)
		if w.rc == busy {
			// Who waits for the turn must not count as using the map: the
			// one who has it may be waiting to change the map.
			s.readers.leave(nil)
			if err := s.takeTurn(p); err != nil {
				return err
			}
			if _, err := s.enter(false); err != nil {
				C.pk_page_unlock(s.page)
				return err
			}
			w = s.beginInTurn()
		}
		var err error
		if w.rc == 0 && !s.roomy(uint64(w.next)) {
			w, err = s.beginGrown(w, p, roomy)
		}
		if err == nil && w.rc == 0 {
			s.begun(t, w, gate)
			return nil
		}
		s.readers.leave(nil)
		if err == nil && w.rc == mdbMapResized && attempt < 4 {
			if err = s.adopt(p); err == nil {
				continue
			}
		}
		if err == nil {
			err = s.failure("write", int(w.rc))
		}
		return err
	}
}

func (s *Space) begun(t *Txn, w C.pk_write, gate bool) {
	// Dead processes' reader slots keep old pages alive; look now and then.
	if s.begins.Add(1)%readerCheckEvery == 0 {
		_, _ = s.env.ReaderCheck() // a failed look is made up for by the next
	}
	t.s, t.txn, t.mode, t.gate = s, w.txn, store.Write, gate
	t.next, t.begun, t.id = uint64(w.next), uint64(w.next), uint64(w.id)
}

// beginInTurn begins for the thread that has the turn, and passes the turn on
// when that fails.
func (s *Space) beginInTurn() C.pk_write {
	w := C.pk_write_locked(s.raw)
	if w.rc != 0 {
		C.pk_page_unlock(s.page)
	}
	return w
}

// beginGrown makes the map larger, after w found too little room, and begins
// again. Without an error the turn is still the caller's, or w.rc says why
// not; with one it has been passed on.
func (s *Space) beginGrown(w C.pk_write, p *patience, roomy bool) (C.pk_write, error) {
	used := uint64(w.next) * s.pageSize
	// Room to go on with, if the map cannot grow because snapshots are open.
	some := !roomy && used+4*s.pageSize < s.mapSize()
	C.pk_abort(w.txn)
	wait := p
	if some && s.needed.Load() == 0 {
		wait = new(patience) // nobody lacked any yet: not worth a wait
	}
	err := s.grow(1, used, wait)
	if err != nil {
		// Who lacked room will lack it again, and say so. Others, above all
		// those who delete, are not to be held up for it.
		s.needed.Store(0)
	}
	if some && !errs.Has(err, errs.Interrupted) && !s.dead.Load() {
		err = nil
	}
	if err != nil {
		C.pk_page_unlock(s.page)
		return w, err
	}
	return s.beginInTurn(), nil
}

// takeTurn waits for the writer's turn.
func (s *Space) takeTurn(p *patience) error {
	if C.pk_page_trylock(s.page) == 0 {
		return nil
	}
	if p.wait.Timeout == 0 {
		return errs.New(errs.WouldBlock, "write", s.name, "another process is writing")
	}
	var first C.int
	defer func() { C.pk_page_giveup(s.page, &first) }()
	for {
		rc := C.pk_page_lock(s.page, C.int64_t(p.step()), &first)
		switch syscall.Errno(rc) {
		case 0:
			return nil
		case syscall.ETIMEDOUT:
			if err := p.over(s); err != nil {
				return err
			}
		default:
			return s.failure("wait for the writer's turn", int(rc))
		}
	}
}

// Update runs fn in a write transaction and commits it.
func (s *Space) Update(wait store.Wait, fn func(store.Txn) error) error {
	p := newPatience(wait)
	// Without a flush a commit costs less than handing an update over, and
	// others rely on each having one of its own.
	if !s.Durable() {
		return s.updateAlone(&p, fn)
	}
	if err := s.writable(); err != nil {
		return err
	}
	if s.gate.try() {
		return s.lead(&p, fn)
	}
	if wait.Timeout == 0 {
		return errs.New(errs.WouldBlock, "write", s.name, "another thread is writing")
	}
	w, inside := s.gate.join(fn)
	if inside {
		return s.lead(&p, fn)
	}
	if err := s.await(w, &p); err != nil {
		return err
	}
	switch {
	case w.alone:
		return s.updateAlone(&p, fn)
	case w.ran:
		return w.err
	}
	return s.lead(&p, fn)
}

// lead runs one's own update, and commits it with those that wait. The caller
// has the gate, and has it no more afterwards.
func (s *Space) lead(p *patience, fn func(store.Txn) error) error {
	again, err := s.leadOnce(p, fn)
	if err != nil && again {
		return s.updateAlone(p, fn)
	}
	return err
}

func (s *Space) leadOnce(p *patience, fn func(store.Txn) error) (again bool, err error) {
	runtime.LockOSThread() // LMDB's lock and ours belong to a thread
	defer runtime.UnlockOSThread()
	t := new(Txn)
	if err := s.beginWrite(t, p, true, false); err != nil {
		s.gate.leave()
		return false, err
	}
	defer t.finish() // after a panic of fn as well
	if err = t.run(fn); err == nil {
		err = t.Commit()
	}
	return t.ranOut, err
}

// updateAlone is Update without company, run again when the map was full.
func (s *Space) updateAlone(p *patience, fn func(store.Txn) error) error {
	for attempt := 0; ; attempt++ {
		again, err := s.updateOnce(p, fn, attempt > 0)
		if err == nil || !again || attempt == maxRuns {
			return err
		}
	}
}

func (s *Space) updateOnce(p *patience, fn func(store.Txn) error, roomy bool) (again bool, err error) {
	runtime.LockOSThread() // LMDB's lock and ours belong to a thread
	defer runtime.UnlockOSThread()
	t := s.spare.Swap(nil)
	if t == nil {
		t = new(Txn)
	}
	if err := s.beginInto(t, p, roomy); err != nil {
		return false, err
	}
	defer func() { // after a panic of fn as well
		t.finish()
		t.undo.Reset()
		*t = Txn{undo: t.undo}
		s.spare.Store(t)
	}()
	if err = t.run(fn); err == nil {
		err = t.Commit()
	}
	return t.ranOut, err
}
