package lmdbstore

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

const (
	// maxGuests bounds how many waiting updates one commit takes along.
	maxGuests = 256
	// guestBudget bounds what they may write together, in bytes: whoever has
	// more to write waits for a transaction of its own.
	guestBudget = 1 << 20
	// gatherTime is a small part of what a flush takes.
	gatherTime = 20 * time.Microsecond
)

// gate is the way of one durable space's writers to the turn, one at a time
// and in the order of asking. It also lets them share a flush: whoever waits
// with an update leaves it there, and whoever is inside runs those of all who
// wait in its own transaction before it commits. Memory namespaces, whose
// commits cost less than handing over, do without.
type gate struct {
	mu    sync.Mutex
	held  bool
	queue []*waiter // nobody, unless held
	// expected is how many guests the last commit had; for who is inside.
	expected int
}

// waiter is one who waits for the gate.
type waiter struct {
	fn     func(store.Txn) error // an update that another may run; nil for none
	called chan struct{}         // sent to once: the gate is the waiter's, or fn has run
	// What came of fn, if it has run. alone says that it has to run again in
	// a transaction of its own, on its own thread.
	ran, alone bool
	err        error
}

// try takes the gate if nobody has it.
func (g *gate) try() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		return false
	}
	g.held = true
	return true
}

// join takes the gate, or a place in the queue.
func (g *gate) join(fn func(store.Txn) error) (w *waiter, inside bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.held {
		g.held = true
		return nil, true
	}
	w = &waiter{fn: fn, called: make(chan struct{}, 1)}
	g.queue = append(g.queue, w)
	return w, false
}

// leave passes the gate on.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.held = false
		return
	}
	w := g.queue[0]
	g.queue[0] = nil
	g.queue = g.queue[1:]
	w.called <- struct{}{}
}

// gather waits a moment for as many to queue as were guests last time: those
// were let go just now, and most of them come again. Without it every second
// flush is theirs. It returns how many there are.
func (g *gate) gather() int {
	for begun := time.Now(); ; runtime.Gosched() {
		g.mu.Lock()
		queued := len(g.queue)
		g.mu.Unlock()
		if queued >= g.expected || time.Since(begun) > gatherTime {
			return queued
		}
	}
}

// guests takes waiting updates out of the queue.
func (g *gate) guests() []*waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	var taken []*waiter
	g.queue = slices.DeleteFunc(g.queue, func(w *waiter) bool {
		if w.fn == nil || len(taken) == maxGuests {
			return false
		}
		taken = append(taken, w)
		return true
	})
	return taken
}

// withdraw gives a place in the queue up; false when it is the waiter's turn,
// or another is running its update.
func (g *gate) withdraw(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, w)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	return true
}

// await waits until w is called, or p is over.
func (s *Space) await(w *waiter, p *patience) error {
	for {
		timer := time.NewTimer(p.step())
		select {
		case <-w.called:
			timer.Stop()
			return nil
		case <-timer.C:
		}
		err := p.over(s)
		if err == nil {
			continue
		}
		if s.gate.withdraw(w) {
			return err
		}
		<-w.called
		if w.ran {
			return nil
		}
		s.gate.leave()
		return err
	}
}

// enterGate waits for the gate.
func (s *Space) enterGate(p *patience) error {
	if s.gate.try() {
		return nil
	}
	if p.wait.Timeout == 0 {
		return errs.New(errs.WouldBlock, "write", s.name, "another thread is writing")
	}
	w, inside := s.gate.join(nil)
	if inside {
		return nil
	}
	return s.await(w, p)
}

// commitWithGuests runs the updates that wait, each undone by itself if it
// fails, and commits. The gate is passed on.
func (s *Space) commitWithGuests(t *Txn) error {
	t.releaseAll() // the owner's savepoints end with its part
	var guests []*waiter
	// A guest must not take room that the owner needs to commit.
	if s.gate.gather() > 0 && s.roomFor(t, guestBudget) {
		guests = s.gate.guests()
	}
	s.gate.expected = len(guests)
	if len(guests) == 0 {
		return t.commit()
	}
	called := false
	defer func() {
		if !called { // a guest ended the thread that ran it (runtime.Goexit)
			callAgain(guests)
		}
	}()
	t.sharing, t.budget = true, guestBudget
	for _, g := range guests {
		if t.broken != nil {
			break
		}
		s.runGuest(t, g)
	}
	t.sharing = false
	if err := t.broken; err != nil {
		// The owner's part is lost with it; if that is an update, it runs again.
		t.ranOut = true
		t.finish()
		called = true
		callAgain(guests)
		return err
	}
	// The guests first: whoever is next takes along those that are back by then.
	t.gate = false
	defer s.gate.leave()
	err := t.commit()
	called = true
	for _, g := range guests {
		if g.err == nil {
			g.err = err
		}
		g.ran = true
		g.called <- struct{}{}
	}
	return err
}

// roomFor reports whether n more bytes can be written in t, and then committed.
func (s *Space) roomFor(t *Txn, n uint64) bool {
	need := t.next + n/s.pageSize
	return fits(need*s.pageSize, s.mapSize()) && s.fileFor(need, true) == nil
}

// callAgain has guests run on their own what another has failed to.
func callAgain(guests []*waiter) {
	for _, g := range guests {
		g.ran, g.alone = true, true
		g.called <- struct{}{}
	}
}

// runGuest runs another's update in t, and undoes it if it fails.
func (s *Space) runGuest(t *Txn, g *waiter) {
	t.undo.Mark()
	t.refused, t.ranOut = false, false
	ok := false
	defer func() {
		if !ok {
			// It will panic again, where it belongs.
			_ = recover()
			g.alone = true
		}
		// What did not fit into the company may fit without.
		g.alone = g.alone || t.refused || t.ranOut || t.broken != nil
		t.ranOut = false
		undo := g.alone || g.err != nil
		for ; t.depth > 0; t.depth-- { // savepoints that it left open
			if err := t.undo.Release(); err != nil {
				t.broken = err
			}
		}
		if undo && t.broken == nil {
			t.sharing = false
			t.broken = t.undo.Rollback(t.restore, t.remove)
			t.sharing = true
		} else if err := t.undo.Release(); err != nil {
			t.broken = err
		}
	}()
	g.err = t.run(g.fn)
	ok = true
}
