package coll

import (
	"sync"
	"sync/atomic"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
)

const (
	// usesNoted bounds the uses that readers note before they are written.
	usesNoted = 4096
	// usesWait is for how long they wait for a write to take them along.
	usesWait = time.Second
	// othersWait is how long after an end a process that did not set it looks
	// whether it was seen to.
	othersWait = 25 * time.Millisecond
)

// attendant sees to a cache in this process: it removes entries when they end,
// asleep until then, and writes down the uses that readers noted.
type attendant struct {
	o     *object.Object
	after func(time.Duration, func()) stopper

	mu      sync.Mutex
	uses    map[uint64]int64 // by ticket, when
	writing stopper          // set while uses wait to be written
	timer   stopper
	due     int64 // what timer is set to; 0 where it is not
	mine    bool  // that end is of this process, and may not be committed yet

	watched map[owner.Token]func() // ends the watch of a process with a claim

	given  map[string]uint64 // own claims to be given up, by key: the number of the call that asked for it
	gifts  uint64            // such numbers given out
	giving bool              // giveUp runs

	last atomic.Int64 // stamp given out

	work   sync.Mutex // held while something runs
	paused atomic.Bool
}

type use struct {
	ticket uint64
	at     int64
}

func attendantOf(o *object.Object) *attendant {
	return o.Attendant(func(o *object.Object) object.Attendant {
		return &attendant{o: o, after: limits.after}
	}).(*attendant)
}

// DictExpires says that an entry was given an end, perhaps in a transaction that
// is still open: at that time this process removes it, unless another one has.
func DictExpires(o *object.Object, due int64) { attendantOf(o).arm(due, true) }

// DictAttend has this process see to a dict, if the state says that it is a
// cache with ends.
func DictAttend(o *object.Object, state *object.State) {
	if state.Flags&object.FlagCache != 0 && state.Due != 0 {
		attendantOf(o).arm(state.Due, false)
	}
}

// arm sets the timer, unless it is set to as early a time.
func (a *attendant) arm(due int64, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due != 0 && a.due <= due {
		a.mine = a.mine || mine
		return
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	a.due, a.mine = due, mine
	a.paused.Store(false)
	wait := max(0, time.Duration(due-a.now()))
	if !mine {
		wait += othersWait
	}
	a.timer = a.after(wait, a.ring)
}

func (a *attendant) now() int64 { return a.o.Space.Store().Now().UnixNano() }

// stamp is when a use that is noted now was: the time, but later than any stamp
// before it.
func (a *attendant) stamp() int64 {
	for {
		last := a.last.Load()
		at := max(a.now(), last+1)
		if a.last.CompareAndSwap(last, at) {
			return at
		}
	}
}

// ring sweeps, and sets the timer to the next end.
func (a *attendant) ring() {
	a.mu.Lock()
	mine := a.mine
	a.due, a.mine = 0, false
	a.mu.Unlock()
	a.work.Lock()
	defer a.work.Unlock()
	if a.paused.Load() {
		return
	}
	state, err := a.o.PeekState()
	if err != nil {
		return // it was dropped, or its namespace closed
	}
	// What this process set may be in a transaction of its own that is open:
	// the turn to write comes behind it.
	for more := mine || state.Due != 0 && state.Due <= a.now(); more; {
		if a.paused.Load() {
			return
		}
		err := a.o.Space.Update(a.wait(), func(tx *object.Tx) (err error) {
			_, more, err = DictSweep(tx, a.o)
			return err
		})
		if errs.Has(err, errs.LockTimeout) {
			continue // which was a wait
		}
		if err != nil {
			return // readers see the end all the same, and the next writer sweeps
		}
	}
	if state, err = a.o.PeekState(); err == nil && state.Due != 0 {
		a.arm(state.Due, mine)
	}
}

func (a *attendant) wait() store.Wait {
	return store.Wait{Timeout: -1, Interrupted: a.paused.Load}
}

// Pause stops timers and watches, waits for what runs, and forgets what was noted.
func (a *attendant) Pause() {
	a.paused.Store(true)
	a.mu.Lock()
	for _, timer := range []stopper{a.timer, a.writing} {
		if timer != nil {
			timer.Stop()
		}
	}
	for _, cancel := range a.watched {
		cancel()
	}
	a.due, a.writing, a.watched = 0, nil, nil
	a.mu.Unlock()
	// Once it has the lock nothing runs any more; what is about to finds that it
	// is paused.
	a.work.Lock()
	defer a.work.Unlock()
	a.take()
}

// note notes the use of an entry, to be written later.
func (a *attendant) note(ticket uint64) {
	at := a.stamp()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.uses == nil {
		a.uses = make(map[uint64]int64)
	}
	if _, known := a.uses[ticket]; !known && len(a.uses) >= usesNoted {
		return // the order is less exact, that is all
	}
	a.uses[ticket] = at
	if a.writing == nil {
		a.paused.Store(false)
		a.writing = a.after(usesWait, a.write)
	}
}

// take takes what was noted.
func (a *attendant) take() []use {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]use, 0, len(a.uses))
	for ticket, at := range a.uses {
		list = append(list, use{ticket, at})
	}
	clear(a.uses)
	if a.writing != nil {
		a.writing.Stop()
		a.writing = nil
	}
	return list
}

// write writes down the uses that no write has taken along. If that fails they
// are forgotten.
func (a *attendant) write() {
	a.work.Lock()
	defer a.work.Unlock()
	a.writeUses(a.wait)
}

// Settle writes them down before the process ends, or its space is closed: what
// a process of a second or less has read would count for nothing otherwise.
func (a *attendant) Settle(deadline time.Time) {
	left := func() time.Duration { return max(0, time.Until(deadline)) }
	if !a.freeWithin(left()) {
		return
	}
	defer a.work.Unlock()
	a.writeUses(func() store.Wait {
		return store.Wait{Timeout: left(), Interrupted: func() bool { return left() == 0 }}
	})
}

// freeWithin takes work, unless something runs for longer: that may wait for
// its turn to write, without end.
func (a *attendant) freeWithin(patience time.Duration) bool {
	if a.work.TryLock() {
		return true
	}
	free := make(chan struct{})
	go func() {
		a.work.Lock()
		close(free)
	}()
	select {
	case <-free:
		return true
	case <-time.After(patience):
		go func() {
			<-free
			a.work.Unlock()
		}()
		return false
	}
}

// writeUses needs work. Each batch waits for its turn as wait says.
func (a *attendant) writeUses(wait func() store.Wait) {
	list := a.take()
	for len(list) > 0 && !a.paused.Load() {
		batch := list[:min(len(list), sweepBatch)]
		list = list[len(batch):]
		err := a.o.Space.Update(wait(), func(tx *object.Tx) error {
			c, err := newCached(tx, a.o)
			if err != nil {
				return err
			}
			for _, use := range batch {
				if err := c.used(use.ticket, use.at); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return
		}
	}
}

// peeked is what a read outside of a transaction does about an entry of a
// cache; store.ErrNotFound where it has ended.
func peeked(o *object.Object, flags byte, record, value []byte) error {
	stamps := keys.StampsOf(flags, record, value)
	if stamps.Due != 0 {
		a := attendantOf(o)
		if stamps.Due <= a.now() {
			a.arm(stamps.Due, false) // nobody has seen to it
			return store.ErrNotFound
		}
	}
	if stamps.Ticket&noteUse != 0 {
		attendantOf(o).note(stamps.Ticket)
	}
	return nil
}

// noted notes a use in a transaction.
func noted(o *object.Object, flags byte, record, value []byte) {
	if ticket := keys.StampsOf(flags, record, value).Ticket; ticket&noteUse != 0 {
		attendantOf(o).note(ticket)
	}
}
