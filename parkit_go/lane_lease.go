package parkit_go

/*
#include "lane.h"
*/
import "C"

import (
	"encoding/binary"
	"time"
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
)

// termsOf is what a lease is asked for; nothing for nil.
func termsOf(o *object.Object, lease *C.pk_lease) (terms coll.Terms, err error) {
	if lease == nil {
		return terms, nil
	}
	terms.For = time.Duration(lease.hold_ns)
	terms.Owner, err = owner.Own(o.Space.Store())
	return terms, err
}

// take takes an item, by a lease if one is asked for.
func take(tx *object.Tx, o *object.Object, lease *C.pk_lease, terms coll.Terms, dst []byte) (coll.Taken, error) {
	if lease == nil {
		return coll.QueueTake(tx, o, dst)
	}
	leased, value, err := coll.QueueLease(tx, o, terms, dst)
	told(lease, leased)
	return coll.TakenOf(value, len(value), 0, 0), err
}

// told tells C of a lease.
func told(lease *C.pk_lease, taken coll.Lease) {
	lease.owner, lease.id = C.uint64_t(taken.Owner), C.uint64_t(taken.ID)
	lease.attempts, lease.deadline = C.uint64_t(taken.Attempts), C.int64_t(taken.Deadline)
}

// pkQueueSettle says what becomes of a leased item: PK_ACK, PK_NACK, PK_UNLEASE,
// PK_BURY, PK_EXTEND.
//
//export pkQueueSettle
func pkQueueSettle(handle C.int64_t, scopes *C.pk_scopes, what C.int, lease *C.pk_lease, why *C.char, n C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("end lease", words, &rc)
	named := coll.Lease{
		Owner: owner.Token(lease.owner), ID: uint64(lease.id),
		Attempts: uint64(lease.attempts), Deadline: int64(lease.deadline),
	}
	span := time.Duration(lease.hold_ns)
	return changed(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		switch what {
		case C.PK_ACK:
			return coll.QueueAck(tx, o, named)
		case C.PK_NACK:
			return coll.QueueNack(tx, o, named, span, text(unsafe.Pointer(why), n))
		case C.PK_UNLEASE:
			return coll.QueueUnlease(tx, o, named)
		case C.PK_BURY:
			return coll.QueueBury(tx, o, named, text(unsafe.Pointer(why), n))
		case C.PK_EXTEND:
			extended, err := coll.QueueExtend(tx, o, named, span)
			told(lease, extended)
			return err
		}
		return errs.Newf(errs.InvalidArgument, "end lease", o.Name, "there is no such end: %d", what)
	})
}

// pkQueueState tells how far a queue has come. Items of leases that have ended
// come back first, but in a snapshot or where nothing can be written.
//
//export pkQueueState
func pkQueueState(handle C.int64_t, scopes *C.pk_scopes, out *C.pk_queue, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("read queue", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if panicked.Load() != nil {
		return failed(refusal("read"), words)
	}
	state, err := currentState(o, scopes, wait)
	if err != nil {
		return failed(err, words)
	}
	*out = C.pk_queue{
		length: C.uint64_t(state.Length), limit: C.uint64_t(state.Limit), pending: C.uint64_t(state.Pending),
		leased: C.uint64_t(state.Leased), dead: C.uint64_t(state.Dead), attempts: C.uint64_t(state.Attempts),
		flags: C.uint32_t(state.Flags),
	}
	if state.Flags&object.FlagLeases == 0 {
		out.attempts = coll.DefaultAttempts
	}
	return C.PK_OK
}

func currentState(o *opened, scopes *C.pk_scopes, wait *C.pk_wait) (object.State, error) {
	if tx := txIn(scopes, o.space); tx != nil {
		state, err := tx.State(o.Object)
		if err == nil && state.Leased > 0 && tx.Mode() == store.Write {
			err = coll.Reclaim(tx, o.Object)
		}
		if err != nil {
			return object.State{}, err
		}
		return *state, nil
	}
	state, err := o.PeekState()
	if err != nil || state.Leased == 0 {
		return state, err
	}
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	if err != nil {
		return state, err
	}
	due, err := coll.Reclaimable(tx, o.Object)
	tx.Abort()
	if err != nil || !due {
		return state, err
	}
	if wait == nil && o.Space.Store().Durable() {
		return state, errs.New(errs.WouldBlock, "read queue", o.Name, "it will wait for a flush")
	}
	err = o.Space.Update(waitOf(wait), func(tx *object.Tx) error { return coll.Reclaim(tx, o.Object) })
	if err != nil && !errs.Has(err, errs.ReadOnly) {
		return state, err
	}
	return o.PeekState()
}

//export pkQueueAttend
func pkQueueAttend(handle C.int64_t, words *C.pk_words) (rc C.int) {
	defer guarded("attend to queue", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	return failed(coll.QueueAttend(o.Object), words)
}

// lettersAtOnce is how many dead letters cross at once.
const lettersAtOnce = 64

//export pkQueueDead
func pkQueueDead(handle C.int64_t, scopes *C.pk_scopes, after C.uint64_t, got *C.pk_got, words *C.pk_words) (rc C.int) {
	defer guarded("list dead letters", words, &rc)
	return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
		letters, err := coll.QueueDead(tx, o, uint64(after), lettersAtOnce)
		if err != nil {
			return err
		}
		var packed []byte
		for _, l := range letters {
			for _, n := range [...]uint64{l.ID, l.Attempts, uint64(l.Time), uint64(len(l.Why)), uint64(len(l.Value))} {
				packed = binary.NativeEndian.AppendUint64(packed, n)
			}
			packed = append(append(packed, l.Why...), l.Value...)
		}
		copied(got, packed)
		return nil
	})
}

// pkQueueRevive puts a dead letter back (PK_RETRY) or removes it (PK_FORGET);
// all for the number 0. One that is not there is none.
//
//export pkQueueRevive
func pkQueueRevive(handle C.int64_t, scopes *C.pk_scopes, what C.int, id C.uint64_t, count *C.uint64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("change dead letters", words, &rc)
	if id == 0 && wait == nil && alone(handle, scopes) {
		return C.PK_AGAIN
	}
	n := 0
	rc = changed(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) (err error) {
		switch {
		case what == C.PK_FORGET:
			n, err = coll.QueueClearDead(tx, o, uint64(id))
		case id == 0:
			n, err = coll.QueueRetryAllDead(tx, o)
		default:
			n = 0
			if err = coll.QueueRetryDead(tx, o, uint64(id)); err == nil {
				n = 1
			} else if err == store.ErrNotFound {
				err = nil
			}
		}
		return err
	})
	*count = C.uint64_t(n)
	return rc
}
