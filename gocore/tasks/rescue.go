package tasks

import (
	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Rescued says what became of the tasks of a dead worker.
type Rescued struct {
	Requeued  []uint64 // run again
	Crashed   []uint64 // no attempt left
	Cancelled []uint64 // somebody had asked for that
}

// Crash says that a worker is dead, detail how it ended ("killed by SIGKILL").
// Its tasks run again where their policy and attempts allow it, or are crashed;
// its record is removed. The caller must know that the worker is dead: one that
// lives would go on with tasks it no longer holds.
func (s *Store) Crash(worker uint64, detail string, wait store.Wait) (rescued Rescued, err error) {
	err = s.space.Update(wait, func(tx store.Txn) error {
		rescued, err = s.crashTx(tx, worker, detail)
		return err
	})
	if err != nil {
		return Rescued{}, err
	}
	return rescued, nil
}

func (s *Store) crashTx(tx store.Txn, worker uint64, detail string) (rescued Rescued, err error) {
	sc := getScratch()
	defer sc.free()
	ids, err := runningOf(tx, worker)
	if err != nil {
		return Rescued{}, err
	}
	for _, id := range ids {
		r := &sc.record
		if err := r.get(tx, sc, id); err != nil {
			return Rescued{}, err
		}
		r.Detail = detail
		switch {
		case r.Flags&FlagCancelRequested != 0:
			rescued.Cancelled = append(rescued.Cancelled, id)
			err = s.end(tx, sc, r, EventCancel)
		case r.Flags&FlagRetryOnCrash != 0 && r.Attempt <= r.Retries:
			rescued.Requeued = append(rescued.Requeued, id)
			err = s.requeue(tx, sc, r, EventRequeue, 0)
		default:
			rescued.Crashed = append(rescued.Crashed, id)
			err = s.end(tx, sc, r, EventCrash)
		}
		if err != nil {
			return Rescued{}, err
		}
	}
	for _, tag := range []byte{tagWorker, tagRetired} {
		sc.key = keyOfID(sc.key, tag, worker)
		if _, err := tx.Del(sc.key); err != nil {
			return Rescued{}, err
		}
	}
	// The worker may have been woken for a task and have died before it claimed
	// it: hand that wake-up on.
	if ready, _, err := survey(tx, sc, nil, true); err != nil {
		return Rescued{}, err
	} else if ready {
		tx.WakeOne(Pending)
	}
	tx.Touch(PoolControl)
	return rescued, nil
}

// runningOf lists the claims of a worker.
func runningOf(tx store.Txn, worker uint64) ([]uint64, error) {
	r := store.Prefix(keyOfID(nil, tagRunning, worker))
	r.KeysOnly = true
	var ids []uint64
	err := scanAll(tx, r, func(key, _ []byte) (bool, error) {
		ids = append(ids, lastID(key))
		return true, nil
	})
	return ids, err
}

// Cancelling says what Cancel found and did.
type Cancelling struct {
	Was    State  // before; an ended task is left as it is
	Worker uint64 // that runs it, when Was is Running; it is retired
	PID    int
}

// Cancel ends a pending task at once. A running one is marked, and its worker
// retired, so that it can be terminated without hitting a task that it took
// meanwhile; the task is cancelled when the worker is dead (Crash), or when it
// comes with a result, which is then refused. Who supervises the worker sees
// PoolControl advance and terminates it.
func (s *Store) Cancel(id uint64, wait store.Wait) (c Cancelling, err error) {
	err = s.space.Update(wait, func(tx store.Txn) error {
		c, err = s.CancelTx(tx, id)
		return err
	})
	if err != nil {
		return Cancelling{}, err
	}
	return c, nil
}

// CancelTx is Cancel in a transaction of the task space that the caller ends,
// and aborts or rolls back after an error.
func (s *Store) CancelTx(tx store.Txn, id uint64) (Cancelling, error) {
	sc := getScratch()
	defer sc.free()
	r := &sc.record
	if err := r.get(tx, sc, id); err != nil {
		return Cancelling{}, err
	}
	c := Cancelling{Was: r.State}
	switch r.State {
	case Submitted:
		return c, s.end(tx, sc, r, EventCancel)
	case Running:
		c.Worker, c.PID = r.Worker, r.PID
		r.Flags |= FlagCancelRequested
		if err := r.put(tx, sc); err != nil {
			return Cancelling{}, err
		}
		tx.Touch(PoolControl)
		return c, retire(tx, sc, r.Worker)
	}
	return c, nil
}

// Drop removes an ended or pending task with its outcome; who waits for it gets
// errs.NotFound. A running one is errs.IllegalTransition: cancel it first.
func (s *Store) Drop(id uint64, wait store.Wait) error {
	return s.space.Update(wait, func(tx store.Txn) error { return s.DropTx(tx, id) })
}

// DropTx is Drop in a transaction of the task space that the caller ends, and
// aborts or rolls back after an error.
func (s *Store) DropTx(tx store.Txn, id uint64) error {
	sc := getScratch()
	defer sc.free()
	r := &sc.record
	if err := r.get(tx, sc, id); err != nil {
		return err
	}
	if r.State == Running {
		return errs.New(errs.IllegalTransition, "drop task", subject(id), "it is running; cancel it first")
	}
	return s.drop(tx, sc, r)
}

func (s *Store) drop(tx store.Txn, sc *scratch, r *Record) error {
	if r.State == Submitted {
		if err := s.end(tx, sc, r, EventCancel); err != nil {
			return err
		}
	}
	keys := [][]byte{
		keyOfID(nil, tagRecord, r.ID),
		keyOfAsyncable(nil, tagCall, r.Asyncable, r.ID),
	}
	if r.Flags&FlagOutcome != 0 {
		keys = append(keys, keyOfID(nil, tagOutcome, r.ID))
	}
	if r.State != Finished {
		keys = append(keys, keyOfEnded(nil, r.State, r.ID))
	}
	for _, key := range keys {
		if _, err := tx.Del(key); err != nil {
			return err
		}
	}
	tx.Touch(store.ChannelOf(r.ID))
	return nil
}

// PurgeEnded drops the tasks that ended before a time (ns; 0 is all), in
// transactions of at most a thousand, and returns how many.
func (s *Store) PurgeEnded(before int64, wait store.Wait) (int, error) {
	total, after := 0, uint64(0)
	for {
		var dropped int
		var last uint64
		err := s.space.Update(wait, func(tx store.Txn) error {
			sc := getScratch()
			defer sc.free()
			dropped, last = 0, 0
			records, err := listTx(tx, sc, Filter{}, after, 1000)
			if err != nil {
				return err
			}
			for i := range records {
				r := &records[i]
				last = r.ID
				if !r.State.Done() || before > 0 && r.End >= before {
					continue
				}
				if err := s.drop(tx, sc, r); err != nil {
					return err
				}
				dropped++
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total += dropped
		if last == 0 {
			return total, nil
		}
		after = last
	}
}
