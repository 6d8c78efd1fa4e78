package coll

import (
	"bytes"
	"encoding/binary"

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
// has the capacity; QueueReturn puts it back. store.ErrNotFound
// when the queue is empty, ErrQueueShut when it is shut down too. The item
// counts as pending until QueueDone. A damaged item is errs.Corrupt, and stays.
// Items of leases that have ended come back first (Reclaim), also where it
// then finds none to take: see Answered.
func QueueTake(tx *object.Tx, o *object.Object, dst []byte) (Taken, error) {
	state, err := takeable(tx, o)
	if err != nil {
		return Taken{}, err
	}
	dbkey, own, value, err := nextItem(tx, o, state, dst)
	if err != nil {
		return Taken{}, err
	}
	taken := takeFrom(value, dbkey[len(o.Prefix):], own)
	if _, err := tx.Del(dbkey); err != nil {
		return Taken{}, err
	}
	tx.Moved(o, -1, state.Next, 0)
	return taken, nil
}

// takeable is the state of a queue from which an item can be taken.
func takeable(tx *object.Tx, o *object.Object) (*object.State, error) {
	state, err := tx.State(o)
	if err != nil {
		return nil, err
	}
	if state.Leased > 0 {
		if err := Reclaim(tx, o); err != nil {
			return nil, err
		}
	}
	if state.Length == 0 {
		if state.Flags&object.FlagShut != 0 {
			return nil, ErrQueueShut
		}
		return nil, store.ErrNotFound
	}
	return state, nil
}

// Answered reports whether err is no failure but an answer of a queue, with
// which a transaction can be committed.
func Answered(err error) bool {
	return err == store.ErrNotFound || err == ErrQueueFull || err == ErrQueueShut || err == ErrNothingPending
}

// Updated is object.Space.Update for an operation of a queue: what was changed
// before it came to an answer stays.
func Updated(o *object.Object, wait store.Wait, operate func(*object.Tx) error) error {
	var answer error
	err := o.Space.Update(wait, func(tx *object.Tx) error {
		answer = nil
		err := operate(tx)
		if err != nil && Answered(err) && tx.Dirty(o) {
			answer = err
			return nil
		}
		return err
	})
	if err == nil {
		return answer
	}
	return err
}

// nextItem reads the item that is the next to be taken: own is what its record
// holds as the key, value a copy. dbkey may be the transaction's scratch memory,
// and own its store's.
func nextItem(tx *object.Tx, o *object.Object, state *object.State, dst []byte) (dbkey, own, value []byte, err error) {
	if state.Flags&(object.FlagLifo|object.FlagRanked|object.FlagLeases) == 0 {
		// Without gaps, as nearly always, no search is needed.
		dbkey = tx.ItemKey(o, keys.TagItem, state.Next-state.Length)
		value, err = item(tx, dbkey)
		return dbkey, nil, append(dst[:0], value...), err
	}
	r := store.Prefix(keys.AppendTag(nil, o.Prefix, queueTag(state)))
	r.Reverse = state.Flags&object.FlagLifo != 0
	var one [1]store.Entry
	n, err := tx.Scan(r, one[:])
	if err != nil {
		return nil, nil, nil, err
	}
	if n == 0 {
		return nil, nil, nil, lost(r.Lo)
	}
	dbkey = bytes.Clone(one[0].Key)
	if err := tx.Affords(one[0].Value); err != nil {
		return nil, nil, nil, err
	}
	_, own, value, err = keys.Open(dbkey, one[0].Value)
	return dbkey, own, append(dst[:0], value...), err
}

func queueTag(state *object.State) byte {
	if state.Flags&object.FlagRanked != 0 {
		return keys.TagRank
	}
	return keys.TagItem
}

// QueueDone says that an item that was taken is done with; ErrNothingPending
// when there is none. Leased items are QueueAck's.
func QueueDone(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	if state.Pending <= state.Length+state.Leased {
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

// QueueBlocking says whether the queue waits where its caller does not say.
func QueueBlocking(tx *object.Tx, o *object.Object, blocking bool) error {
	if _, err := tx.State(o); err != nil {
		return err
	}
	if blocking {
		tx.SetFlags(o, 0, object.FlagQuick)
	} else {
		tx.SetFlags(o, object.FlagQuick, 0)
	}
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
