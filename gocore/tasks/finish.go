package tasks

import (
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// maxBackoff bounds the doubling of Spec.Backoff.
const maxBackoff = int64(time.Hour)

// Outcome is how a run ended.
type Outcome struct {
	State   State  // Finished or Failed
	Payload []byte // the result or the error, opaque; copied
	Final   bool   // a failure that is not run again, whatever retries are left
}

// Ended says what Finish wrote.
type Ended struct {
	State State  // of the task now: Finished, Failed, or Submitted when it runs again
	Next  *Claim // asked for with claimNext; nil when nothing is ready or the worker is retired
}

// Finish records the outcome of a claim and, with claimNext, takes the next
// task in the same transaction. errs.Fenced, and nothing is recorded, when the
// claim was lost: the task was given to another worker, cancelled or dropped.
func (s *Store) Finish(worker Worker, t Ticket, o Outcome, claimNext bool, wait store.Wait) (ended Ended, err error) {
	if o.State != Finished && o.State != Failed {
		return Ended{}, errs.Newf(errs.InvalidArgument, "finish task", subject(t.ID), "a run ends finished or failed, not %s", o.State)
	}
	var lost error
	err = s.space.Update(wait, func(tx store.Txn) error {
		ended, lost = Ended{}, nil
		state, err := s.finishTx(tx, t, o)
		if errs.Has(err, errs.Fenced) && state == Cancelled {
			lost, err = err, nil // what was written, the cancel, stays
		}
		if err != nil {
			return err
		}
		ended.State = state
		if claimNext && lost == nil {
			ended.Next, err = s.ClaimTx(tx, worker)
			if errs.Has(err, errs.Fenced) {
				err = nil // retired: its next Claim says so
			}
		}
		return err
	})
	if err == nil {
		err = lost
	}
	if err != nil {
		return Ended{}, err
	}
	return ended, nil
}

// finishTx writes the outcome. Where the task was cancelled while it ran, it
// writes the cancel and returns Cancelled with errs.Fenced.
func (s *Store) finishTx(tx store.Txn, t Ticket, o Outcome) (State, error) {
	sc := getScratch()
	defer sc.free()
	r := &sc.record
	if err := r.claimed(tx, sc, t); err != nil {
		return 0, err
	}
	if r.Flags&FlagCancelRequested != 0 {
		if err := s.end(tx, sc, r, EventCancel); err != nil {
			return 0, err
		}
		return Cancelled, errs.New(errs.Fenced, "finish task", subject(t.ID), "it was cancelled while it ran; its outcome is not recorded")
	}
	event := EventFinish
	if o.State == Failed {
		event = EventFail
		if !o.Final && r.Flags&FlagRetryOnFailure != 0 && r.Attempt <= r.Retries {
			if _, err := r.getCall(tx, sc); err != nil {
				return 0, err
			}
			return Submitted, s.requeue(tx, sc, r, EventRequeue, backoff(r.Backoff, r.Attempt))
		}
	}
	r.Flags |= FlagOutcome
	sc.key = keyOfID(sc.key, tagOutcome, r.ID)
	if err := putSealed(tx, sc.key, nil, o.Payload); err != nil {
		return 0, err
	}
	return o.State, s.end(tx, sc, r, event)
}

func backoff(base int64, attempt uint32) int64 {
	for ; attempt > 1 && base < maxBackoff; attempt-- {
		base *= 2
	}
	return min(base, maxBackoff)
}

// Release gives a claim back that its worker has not begun to run; the attempt
// does not count. errs.Fenced when the claim was lost.
func (s *Store) Release(t Ticket, wait store.Wait) error {
	return s.space.Update(wait, func(tx store.Txn) error {
		sc := getScratch()
		defer sc.free()
		r := &sc.record
		if err := r.claimed(tx, sc, t); err != nil {
			return err
		}
		if r.Flags&FlagCancelRequested != 0 {
			return s.end(tx, sc, r, EventCancel)
		}
		r.Attempt--
		return s.requeue(tx, sc, r, EventRelease, 0)
	})
}

// claimed reads the record of a claim that is still held.
func (r *Record) claimed(tx store.Txn, sc *scratch, t Ticket) error {
	err := r.get(tx, sc, t.ID)
	if errs.Has(err, errs.NotFound) {
		return errs.New(errs.Fenced, "finish task", subject(t.ID), "it was dropped; its outcome is not recorded")
	}
	if err != nil {
		return err
	}
	if r.State != Running || r.Token != t.Token || r.Worker != t.Worker {
		return errs.Newf(errs.Fenced, "finish task", subject(t.ID),
			"the claim %d of worker %d was lost (now %s, claim %d of worker %d); its outcome is not recorded",
			t.Token, t.Worker, r.State, r.Token, r.Worker)
	}
	return nil
}

// unclaim removes the running index entry of r.
func unclaim(tx store.Txn, sc *scratch, r *Record) error {
	sc.key = keyOfPair(sc.key, tagRunning, r.Worker, r.ID)
	_, err := tx.Del(sc.key)
	return err
}

// requeue puts a running task back among those that wait.
func (s *Store) requeue(tx store.Txn, sc *scratch, r *Record, e Event, delay int64) error {
	if err := unclaim(tx, sc, r); err != nil {
		return err
	}
	if err := r.step(e); err != nil {
		return err
	}
	now := s.now()
	r.Due = 0
	if delay > 0 {
		r.Due = now + delay
	}
	if err := enqueue(tx, sc, r, now); err != nil {
		return err
	}
	return r.put(tx, sc)
}

// end moves a task to a final state and wakes those who wait for it.
func (s *Store) end(tx store.Txn, sc *scratch, r *Record, e Event) error {
	was := r.State
	if err := r.step(e); err != nil {
		return err
	}
	var err error
	if was == Running {
		err = unclaim(tx, sc, r)
	} else {
		err = dequeue(tx, sc, r)
	}
	if err != nil {
		return err
	}
	if r.Flags&FlagLimited != 0 {
		sc.key = keyOfAsyncable(sc.key, tagLimited, r.Asyncable, r.ID)
		if _, err := tx.Del(sc.key); err != nil {
			return err
		}
	}
	if r.State != Finished {
		sc.key = keyOfEnded(sc.key, r.State, r.ID)
		if err := putMark(tx, sc.key); err != nil {
			return err
		}
	}
	r.End = s.now()
	tx.Touch(store.ChannelOf(r.ID))
	return r.put(tx, sc)
}
