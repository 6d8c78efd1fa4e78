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
	"sync"
	"syscall"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// signalStep is how often a wait that may be interrupted looks whether it was.
const signalStep = 50 * time.Millisecond

// quietStep bounds a wait that nobody interrupts.
const quietStep = time.Second

// readerCheckEvery is how many write transactions lie between two looks for
// reader slots of dead processes.
const readerCheckEvery = 4096

// maxRuns bounds how often an update is run again with a larger map: each run
// doubles the room, so that more would exceed any disk.
const maxRuns = 40

// maxGuests bounds how many waiting updates one commit takes along.
const maxGuests = 256

// writers lets the threads of one process share a flush: who waits for the
// gate leaves its update in waiting, and whoever has the gate runs all of them
// in its own transaction before it commits. Memory namespaces, whose commits
// cost less than handing over, do without.
type writers struct {
	gate    chan struct{} // holds one token while somebody has the gate
	mu      sync.Mutex
	waiting []*guest
}

// guest is an update that may be run by another thread than its own.
type guest struct {
	fn   func(store.Txn) error
	err  error
	done chan struct{}
}

func (w *writers) init() { w.gate = make(chan struct{}, 1) }

func (w *writers) join(g *guest) {
	w.mu.Lock()
	w.waiting = append(w.waiting, g)
	w.mu.Unlock()
}

// take removes up to maxGuests waiting updates.
func (w *writers) take() []*guest {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxGuests)
	taken := w.waiting[:n:n]
	w.waiting = append([]*guest(nil), w.waiting[n:]...)
	return taken
}

// withdraw takes an update back; false when somebody is running it already.
func (w *writers) withdraw(g *guest) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.waiting {
		if other == g {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			return true
		}
	}
	return false
}

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

// over says why the wait has ended, or nil.
func (p *patience) over(s *Space) error {
	if p.wait.Interrupted != nil && p.wait.Interrupted() {
		return errs.New(errs.Interrupted, "wait for the writer's turn", s.name, "interrupted")
	}
	if time.Now().Before(p.deadline) {
		return nil
	}
	return errs.Newf(errs.LockTimeout, "wait for the writer's turn", s.name, "not free after %v: %s; end that transaction, or wait longer with timeout=", time.Since(p.begun).Round(time.Millisecond), s.holder())
}

// holder describes who has the writer's turn.
func (s *Space) holder() string {
	h := C.pk_page_holder(s.page)
	if h.pid == 0 {
		return "it is being passed on"
	}
	what := ""
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", h.pid)); err == nil {
		what = fmt.Sprintf(" (%.80s)", strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
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
	if err := s.beginInto(t, wait); err != nil {
		return nil, err
	}
	return t, nil
}

// beginInto makes a write transaction of t.
func (s *Space) beginInto(t *Txn, wait store.Wait) error {
	if err := s.alive("write"); err != nil {
		return err
	}
	if s.profile.ReadOnly {
		return errs.New(errs.ReadOnly, "write", s.name, "the namespace was opened read-only (LMDB_READONLY)")
	}
	p := newPatience(wait)
	if s.memory {
		return s.beginWrite(t, &p, false)
	}
	if err := s.enterGate(&p); err != nil {
		return err
	}
	err := s.beginWrite(t, &p, true)
	if err != nil {
		<-s.writers.gate
	}
	return err
}

// enterGate waits for the gate. The channel hands it on in the order of
// asking.
func (s *Space) enterGate(p *patience) error {
	select {
	case s.writers.gate <- struct{}{}:
		return nil
	default:
	}
	if p.wait.Timeout == 0 {
		return errs.New(errs.WouldBlock, "write", s.name, "another thread is writing")
	}
	for {
		timer := time.NewTimer(p.step())
		select {
		case s.writers.gate <- struct{}{}:
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := p.over(s); err != nil {
			return err
		}
	}
}

// beginWrite takes the writer's turn and makes a transaction with room of t.
func (s *Space) beginWrite(t *Txn, p *patience, gate bool) error {
	if _, err := s.enter(false); err != nil {
		return err
	}
	w := C.pk_write_begin(s.page, s.raw)
	if w.rc == busy {
		// Who waits for the turn must not count as using the map: the one
		// who has it may be waiting to change the map.
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
	if w.rc == 0 && s.roomy(uint64(w.next), s.mapSize()) {
		s.begun(t, w, gate)
		return nil
	}
	w, err := s.beginGrown(w, p)
	if err != nil {
		s.readers.leave(nil)
		return err
	}
	s.begun(t, w, gate)
	return nil
}

func (s *Space) begun(t *Txn, w C.pk_write, gate bool) {
	// Dead processes' reader slots keep old pages alive; look now and then.
	if s.begins.Add(1)%readerCheckEvery == 0 {
		_, _ = s.env.ReaderCheck() // a failed look is made up for by the next
	}
	t.s, t.txn, t.mode, t.gate = s, w.txn, store.Write, gate
	t.next, t.id = uint64(w.next), uint64(w.id)
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

// beginGrown makes the map larger, after w found too little room or (with the
// turn passed on) that another process had grown it, and begins again.
func (s *Space) beginGrown(w C.pk_write, p *patience) (C.pk_write, error) {
	for attempt := 0; ; attempt++ {
		used := s.needed.Load()
		roomLeft := false
		switch {
		case w.rc == 0:
			used = max(used, uint64(w.next)*s.pageSize)
			roomLeft = used < s.mapSize()
			C.pk_abort(w.txn) // the turn is still ours
		case w.rc == mdbMapResized && attempt < 4:
			if err := s.takeTurn(p); err != nil {
				return w, err
			}
		default:
			return w, s.failure("write", int(w.rc))
		}
		err := s.grow(1, used)
		if err != nil && !roomLeft {
			C.pk_page_unlock(s.page)
			return w, err
		}
		// Without success, for open snapshots: there is some room yet.
		if w = s.beginInTurn(); w.rc == 0 && (err != nil || attempt == 4 || s.roomy(uint64(w.next), s.mapSize())) {
			return w, nil
		}
	}
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
	if s.memory {
		return s.updateAlone(wait, fn)
	}
	if err := s.alive("write"); err != nil {
		return err
	}
	if s.profile.ReadOnly {
		return errs.New(errs.ReadOnly, "write", s.name, "the namespace was opened read-only (LMDB_READONLY)")
	}
	select {
	case s.writers.gate <- struct{}{}:
		return s.lead(newPatience(wait), &guest{fn: fn})
	default:
	}
	if wait.Timeout == 0 {
		return errs.New(errs.WouldBlock, "write", s.name, "another thread is writing")
	}
	p := newPatience(wait)
	g := &guest{fn: fn, done: make(chan struct{})}
	s.writers.join(g)
	for {
		timer := time.NewTimer(p.step())
		select {
		case <-g.done:
			timer.Stop()
			return g.err
		case s.writers.gate <- struct{}{}:
			timer.Stop()
			if !s.writers.withdraw(g) { // ran while we were getting in
				<-s.writers.gate
				<-g.done
				return g.err
			}
			return s.lead(p, g)
		case <-timer.C:
		}
		if err := p.over(s); err != nil {
			if s.writers.withdraw(g) {
				return err
			}
			<-g.done
			return g.err
		}
	}
}

// lead runs one's own update and those that wait, and commits them together.
// The caller has the gate, and has it no more afterwards.
func (s *Space) lead(p patience, own *guest) error {
	runtime.LockOSThread() // LMDB's lock and ours belong to a thread
	defer runtime.UnlockOSThread()
	t := new(Txn)
	err := s.beginWrite(t, &p, true)
	if err != nil {
		<-s.writers.gate
		return err
	}
	defer t.Abort() // after a panic of fn as well
	if err = own.fn(t); err == nil {
		err = t.Commit()
	}
	if s.ranOut(err) {
		t.Abort()
		return s.updateAlone(p.wait, own.fn)
	}
	return err
}

// ranOut reports whether a transaction failed for want of room that the next
// one will have.
func (s *Space) ranOut(err error) bool {
	return errs.Has(err, errs.Full) && s.needed.Load() > 0
}

// commitWithGuests runs the updates that wait, each undone by itself if it
// fails, and commits. It passes the gate on.
func (s *Space) commitWithGuests(t *Txn) error {
	guests := s.writers.take()
	if len(guests) == 0 {
		return t.commit()
	}
	var again []*guest
	for _, g := range guests {
		if t.broken != nil {
			again = append(again, g)
			continue
		}
		t.undo.Mark()
		if g.err = g.fn(t); g.err == nil {
			t.undo.Release()
		} else if t.broken != nil || t.Rollback() != nil {
			again = append(again, g)
		}
	}
	var err error
	if t.broken != nil {
		// A guest broke the transaction. Its owner's part is lost with it
		// and reported; guests run again, each on its own.
		err = t.broken
		t.Abort()
		again = guests
	} else {
		err = t.commit()
	}
	for _, g := range guests {
		if g.err == nil {
			g.err = err
		}
	}
	for _, g := range again {
		g.err = s.updateAlone(store.Wait{Timeout: -1}, g.fn)
	}
	for _, g := range guests {
		close(g.done)
	}
	return err
}

// updateAlone is Update without company, run again when the map was full.
func (s *Space) updateAlone(wait store.Wait, fn func(store.Txn) error) error {
	for attempt := 0; ; attempt++ {
		err := s.updateOnce(wait, fn)
		if err == nil || !s.ranOut(err) || attempt == maxRuns {
			return err
		}
	}
}

func (s *Space) updateOnce(wait store.Wait, fn func(store.Txn) error) error {
	runtime.LockOSThread() // LMDB's lock and ours belong to a thread
	defer runtime.UnlockOSThread()
	t := s.spare.Swap(nil)
	if t == nil {
		t = new(Txn)
	}
	if err := s.beginInto(t, wait); err != nil {
		return err
	}
	defer func() { // after a panic of fn as well
		t.Abort()
		t.undo.Reset()
		*t = Txn{undo: t.undo}
		s.spare.Store(t)
	}()
	if err := fn(t); err != nil {
		return err
	}
	return t.Commit()
}
