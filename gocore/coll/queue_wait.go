package coll

import (
	"context"
	"errors"
	"sync"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
)

// QueuePutWait is QueuePut in a transaction of its own, when there is room.
// A wait that runs out is ErrQueueFull. Here and below a negative timeout is
// no bound.
func QueuePutWait(o *object.Object, wait store.Wait, rank []byte, value ...[]byte) error {
	return whenever(o, wait, ErrQueueFull, false, func(state *object.State) bool {
		return state.Limit == 0 || state.Length < state.Limit || state.Flags&object.FlagShut != 0
	}, func(tx *object.Tx) error { return QueuePut(tx, o, rank, value...) })
}

// QueueTakeWait is QueueTake in a transaction of its own, when there is an
// item. A wait that runs out is store.ErrNotFound.
func QueueTakeWait(o *object.Object, wait store.Wait, dst []byte) (taken Taken, err error) {
	err = whenever(o, wait, store.ErrNotFound, true, hasItem, func(tx *object.Tx) (err error) {
		taken, err = QueueTake(tx, o, dst)
		return err
	})
	return taken, err
}

// QueueLeaseWait is QueueLease in a transaction of its own, when there is an
// item.
func QueueLeaseWait(o *object.Object, wait store.Wait, terms Terms, dst []byte) (lease Lease, value []byte, err error) {
	err = whenever(o, wait, store.ErrNotFound, true, hasItem, func(tx *object.Tx) (err error) {
		lease, value, err = QueueLease(tx, o, terms, dst)
		return err
	})
	return lease, value, err
}

func hasItem(state *object.State) bool { return state.Length > 0 || state.Flags&object.FlagShut != 0 }

// QueueJoin waits until no item is pending; errs.Timeout when the wait runs out.
func QueueJoin(o *object.Object, wait store.Wait) error {
	over := errs.New(errs.Timeout, "join", o.Name, "items are still pending")
	return whenever(o, wait, over, true, func(state *object.State) bool { return state.Pending == 0 }, nil)
}

// whenever waits until the state is as ready wants it and then tries; again
// if another one was faster. over is the answer to a try that came too late,
// and to a wait that ran out. leases says whether an item that comes back, or
// dies, from a lease that ended can make it ready.
//
// Each look is behind one at the channel's count, so that no change is slept
// through. All who wait on the channel are woken by a change: others than the
// queue's takers wait there too, also for other objects, so that to wake one
// could be to wake the wrong one.
func whenever(o *object.Object, wait store.Wait, over error, leases bool, ready func(*object.State) bool, try func(*object.Tx) error) error {
	space, channel := o.Space.Store(), o.Channel()
	var deadline time.Time
	if wait.Timeout >= 0 {
		deadline = time.Now().Add(wait.Timeout)
	}
	left := func() store.Wait {
		w := store.Wait{Timeout: wait.Timeout, Interrupted: wait.Interrupted}
		if wait.Timeout >= 0 {
			w.Timeout = max(0, time.Until(deadline))
		}
		return w
	}
	var v vigil
	defer v.end()
	for {
		seen := space.Version(channel)
		state, err := o.PeekState()
		if err != nil {
			return err
		}
		ended := false
		v.next = 0
		if leases && state.Leased > 0 {
			if ended, err = v.look(o); err != nil {
				return err
			}
		}
		isReady := ready(&state)
		switch {
		case isReady && try == nil:
			return nil
		case isReady, ended:
			err := Updated(o, left(), func(tx *object.Tx) error {
				if !isReady || try == nil {
					return Reclaim(tx, o)
				}
				return try(tx)
			})
			switch {
			case err == nil && !isReady:
				continue // what came back is there to be looked at now
			case err == over: // another one was faster
			case wait.Timeout >= 0 && (errs.Has(err, errs.LockTimeout) || errs.Has(err, errs.WouldBlock)):
				return over
			default:
				return err
			}
		}
		rest := left()
		asked := v.bound(space, &rest)
		_, err = space.WaitChange(v.context(), channel, seen, rest)
		switch {
		case err == nil:
		case v.roused() && errors.Is(err, context.Canceled):
		case errs.Has(err, errs.WouldBlock), errs.Has(err, errs.Timeout) && wait.Timeout >= 0 && !asked:
			return over
		case errs.Has(err, errs.Timeout): // the store's own bound, or that of a lease; we have none
		default:
			return err
		}
	}
}

// vigil is a wait's eye on the leases of a queue: on the deaths of their owners
// and on the next deadline.
type vigil struct {
	next    int64 // deadline, wall clock, ns; 0 for none
	watched map[owner.Token]func()

	mu     sync.Mutex // what follows is also touched by those who tell of a death
	ctx    context.Context
	cancel context.CancelFunc
}

// look reports whether a lease has ended of which nobody has taken note, and
// watches those that have not.
func (v *vigil) look(o *object.Object) (ended bool, err error) {
	v.mu.Lock()
	if v.ctx == nil || v.ctx.Err() != nil {
		if v.cancel != nil {
			v.cancel()
		}
		v.ctx, v.cancel = context.WithCancel(context.Background())
	}
	v.mu.Unlock()
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	if err != nil {
		return false, err
	}
	defer tx.Abort()
	found, err := survey(tx, o)
	if err != nil || found.ended {
		return found.ended, err
	}
	v.next = found.next
	for _, token := range found.owners {
		if _, ok := v.watched[token]; ok {
			continue
		}
		if v.watched == nil {
			v.watched = map[owner.Token]func(){}
		}
		v.watched[token] = owner.Watch(o.Space.Store(), token, v.rouse)
	}
	return false, nil
}

// rouse ends the sleep, or the next one.
func (v *vigil) rouse() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cancel()
}

func (v *vigil) roused() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ctx != nil && v.ctx.Err() != nil
}

func (v *vigil) context() context.Context {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ctx == nil {
		return context.Background()
	}
	return v.ctx
}

// bound shortens a wait to the next deadline, and reports whether it did. If
// the clock is set meanwhile, the deadline is seen as late as it was far off.
func (v *vigil) bound(space store.Space, wait *store.Wait) bool {
	if v.next == 0 {
		return false
	}
	until := max(time.Duration(v.next-space.Now().UnixNano()), time.Microsecond)
	if wait.Timeout >= 0 && wait.Timeout <= until {
		return false
	}
	wait.Timeout = until
	return true
}

func (v *vigil) end() {
	for _, cancel := range v.watched {
		cancel()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cancel != nil {
		v.cancel()
	}
}
