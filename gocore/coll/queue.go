package coll

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// What a queue answers, unwrapped, beside store.ErrNotFound for "it is empty".
var (
	// ErrQueueFull: it holds as many items as it may.
	ErrQueueFull = errs.New(errs.WouldBlock, "put", "", "the queue is full; take from it first")
	// ErrQueueShut: it takes no more items, and, of QueueTake, it is empty.
	ErrQueueShut = errs.New(errs.InvalidArgument, "use queue", "", "the queue was shut down; reopen it")
	// ErrNothingPending: there is no item that could be done with.
	ErrNothingPending = errs.New(errs.InvalidArgument, "end item", "", "more items were said to be done than were put")
)

// A queue's items are numbered as they come. They lie under their number, in a
// ranked queue behind their rank: an encoded tuple, which ends itself, so that
// items of one rank go in the order in which they came.

// QueuePut adds an item. rank is an encoded tuple, for a ranked queue only.
// Errors: ErrQueueFull, ErrQueueShut.
func QueuePut(tx *object.Tx, o *object.Object, rank []byte, value ...[]byte) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	if state.Flags&object.FlagShut != 0 {
		return ErrQueueShut
	}
	if state.Limit > 0 && state.Length >= state.Limit {
		return ErrQueueFull
	}
	ranked := state.Flags&object.FlagRanked != 0
	if ranked != (len(rank) > 0) {
		return errs.New(errs.TypeMismatch, "put", o.Name, "items have a rank in a priority queue and only there; bind the queue with its own class")
	}
	var dbkey, own []byte
	if ranked {
		var shortened bool
		encoded := binary.BigEndian.AppendUint64(append(make([]byte, 0, len(rank)+keys.PositionSize), rank...), state.Next)
		dbkey, shortened = tx.EntryKey(o, keys.TagRank, encoded)
		own = keys.OwnKey(nil, encoded, shortened)
	} else {
		dbkey = tx.ItemKey(o, keys.TagItem, state.Next)
	}
	if _, err := tx.PutEntry(dbkey, own, value...); err != nil {
		return err
	}
	tx.Moved(o, 1, state.Next+1, 1)
	return nil
}

// QueueTake removes the next item and returns a copy of it, in dst where that
// has the capacity; store.ErrNotFound
// when the queue is empty, ErrQueueShut when it is shut down too. The item
// counts as pending until QueueDone. A damaged item is errs.Corrupt, and stays.
func QueueTake(tx *object.Tx, o *object.Object, dst []byte) (value []byte, err error) {
	state, err := tx.State(o)
	if err != nil {
		return nil, err
	}
	if state.Length == 0 {
		if state.Flags&object.FlagShut != 0 {
			return nil, ErrQueueShut
		}
		return nil, store.ErrNotFound
	}
	dbkey, value, err := nextItem(tx, o, state, dst)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Del(dbkey); err != nil {
		return nil, err
	}
	tx.Moved(o, -1, state.Next, 0)
	return value, nil
}

// nextItem reads the item that is the next to be taken, a copy of it. dbkey may
// be the transaction's scratch memory.
func nextItem(tx *object.Tx, o *object.Object, state *object.State, dst []byte) (dbkey, value []byte, err error) {
	if state.Flags&(object.FlagLifo|object.FlagRanked) == 0 {
		// Without gaps, as nearly always, no search is needed.
		dbkey = tx.ItemKey(o, keys.TagItem, state.Next-state.Length)
		value, err = item(tx, dbkey)
		return dbkey, append(dst[:0], value...), err
	}
	r := store.Prefix(keys.AppendTag(nil, o.Prefix, queueTag(state)))
	r.Reverse = state.Flags&object.FlagLifo != 0
	var one [1]store.Entry
	n, err := tx.Scan(r, one[:])
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return nil, nil, lost(r.Lo)
	}
	dbkey = bytes.Clone(one[0].Key)
	_, _, value, err = keys.Open(dbkey, one[0].Value)
	return dbkey, append(dst[:0], value...), err
}

func queueTag(state *object.State) byte {
	if state.Flags&object.FlagRanked != 0 {
		return keys.TagRank
	}
	return keys.TagItem
}

// QueueDone says that an item that was taken is done with; ErrNothingPending
// when there is none.
func QueueDone(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	if state.Pending <= state.Length {
		return ErrNothingPending
	}
	tx.Moved(o, 0, state.Next, -1)
	return nil
}

// QueueLimit changes the bound on the queue's length, 0 for none. Items beyond
// it stay.
func QueueLimit(tx *object.Tx, o *object.Object, limit uint64) error {
	return tx.SetLimit(o, limit)
}

// QueueClear removes all items; they count as done with.
func QueueClear(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil || state.Length == 0 {
		return err
	}
	if _, err := tx.DelRange(store.Prefix(keys.AppendTag(nil, o.Prefix, queueTag(state)))); err != nil {
		return tx.Fail(err)
	}
	tx.Moved(o, -int(state.Length), state.Next, -int(state.Length))
	return nil
}

// QueueShut has the queue take no more items, or take items again.
func QueueShut(tx *object.Tx, o *object.Object, shut bool) error {
	if _, err := tx.State(o); err != nil {
		return err
	}
	if shut {
		tx.SetFlags(o, object.FlagShut, 0)
	} else {
		tx.SetFlags(o, 0, object.FlagShut)
	}
	return nil
}

// QueuePutWait is QueuePut in a transaction of its own, when there is room.
// A wait that runs out is ErrQueueFull. Here and below a negative timeout is
// no bound.
func QueuePutWait(o *object.Object, wait store.Wait, rank []byte, value ...[]byte) error {
	return whenever(o, wait, ErrQueueFull, func(state *object.State) bool {
		return state.Limit == 0 || state.Length < state.Limit || state.Flags&object.FlagShut != 0
	}, func(tx *object.Tx) error { return QueuePut(tx, o, rank, value...) })
}

// QueueTakeWait is QueueTake in a transaction of its own, when there is an
// item. A wait that runs out is store.ErrNotFound.
func QueueTakeWait(o *object.Object, wait store.Wait, dst []byte) (value []byte, err error) {
	err = whenever(o, wait, store.ErrNotFound, func(state *object.State) bool {
		return state.Length > 0 || state.Flags&object.FlagShut != 0
	}, func(tx *object.Tx) (err error) {
		value, err = QueueTake(tx, o, dst)
		return err
	})
	return value, err
}

// QueueJoin waits until no item is pending; errs.Timeout when the wait runs out.
func QueueJoin(o *object.Object, wait store.Wait) error {
	over := errs.New(errs.Timeout, "join", o.Name, "items are still pending")
	return whenever(o, wait, over, func(state *object.State) bool { return state.Pending == 0 }, nil)
}

// whenever waits until the state is as ready wants it and then tries; again
// if another one was faster. over is the answer to a try that came too late,
// and to a wait that ran out.
//
// Each look is behind one at the channel's count, so that no change is slept
// through. All who wait on the channel are woken by a change: others than the
// queue's takers wait there too, also for other objects, so that to wake one
// could be to wake the wrong one.
func whenever(o *object.Object, wait store.Wait, over error, ready func(*object.State) bool, try func(*object.Tx) error) error {
	space, channel := o.Space.Store(), o.Channel()
	var deadline time.Time
	if wait.Timeout >= 0 {
		deadline = time.Now().Add(wait.Timeout)
	}
	left := func() time.Duration {
		if wait.Timeout < 0 {
			return wait.Timeout
		}
		return max(0, time.Until(deadline))
	}
	for {
		seen := space.Version(channel)
		state, err := o.PeekState()
		if err != nil {
			return err
		}
		if ready(&state) {
			if try == nil {
				return nil
			}
			err := o.Space.Update(store.Wait{Timeout: left(), Interrupted: wait.Interrupted}, try)
			switch {
			case err == over: // another one was faster
			case wait.Timeout >= 0 && (errs.Has(err, errs.LockTimeout) || errs.Has(err, errs.WouldBlock)):
				return over
			default:
				return err
			}
		}
		_, err = space.WaitChange(context.Background(), channel, seen, store.Wait{Timeout: left(), Interrupted: wait.Interrupted})
		switch {
		case err == nil:
		case errs.Has(err, errs.WouldBlock), errs.Has(err, errs.Timeout) && wait.Timeout >= 0:
			return over
		case errs.Has(err, errs.Timeout): // the store's own bound; we have none
		default:
			return err
		}
	}
}
