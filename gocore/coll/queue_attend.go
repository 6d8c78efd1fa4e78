package coll

import (
	"sync"
	"sync/atomic"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// queueAttendant gives back, in this process, what leases held that end. Who
// takes or joins sees to that itself; it is for those who wait for a change of
// the queue by other means.
type queueAttendant struct {
	o      *object.Object
	paused atomic.Bool

	mu      sync.Mutex
	running chan struct{} // closed when it has ended; nil while it does not run
}

// QueueAttend has this process see to a queue for as long as items are leased.
func QueueAttend(o *object.Object) error {
	state, err := o.PeekState()
	if err != nil || state.Leased == 0 {
		return err
	}
	o.Attendant(func(o *object.Object) object.Attendant { return &queueAttendant{o: o} }).(*queueAttendant).start()
	return nil
}

func (a *queueAttendant) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running == nil {
		a.running = make(chan struct{})
		a.paused.Store(false)
		go a.run(a.running)
	}
}

func (a *queueAttendant) run(ended chan struct{}) {
	defer close(ended)
	none := func(state *object.State) bool { return state.Leased == 0 }
	over := errs.New(errs.Timeout, "attend", a.o.Name, "items are still leased")
	for {
		err := whenever(a.o, store.Wait{Timeout: -1, Interrupted: a.paused.Load}, over, true, none, nil)
		if a.ends(err) {
			return
		}
	}
}

// ends reports whether nobody would miss it: a lease may have been taken since
// the last look, by one who was told that it runs.
func (a *queueAttendant) ends(err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		state, err := a.o.PeekState()
		if err == nil && state.Leased > 0 {
			return false
		}
	}
	// Otherwise the queue was dropped, its space closed, or the store failed: who
	// uses it is told so, and may start it again.
	a.running = nil
	return true
}

// Settle has nothing to do: of a queue nothing is in memory only.
func (a *queueAttendant) Settle(time.Time) {}

// Pause ends it, and returns when it has ended.
func (a *queueAttendant) Pause() {
	a.mu.Lock()
	running := a.running
	a.mu.Unlock()
	if running != nil {
		a.paused.Store(true)
		<-running
	}
}
