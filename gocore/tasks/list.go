package tasks

import (
	"context"
	"errors"
	"slices"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Get reads a task's record with its call; errs.NotFound when there is none.
func (s *Store) Get(id uint64) (Record, error) {
	r, _, err := s.load(id, false, false)
	return r, err
}

// GetTx is Get in a transaction of the task space, with the arguments, which
// alias the store, and without the outcome.
func (s *Store) GetTx(tx store.Txn, id uint64) (r Record, args []byte, err error) {
	sc := getScratch()
	defer sc.free()
	if err := r.get(tx, sc, id); err != nil {
		return Record{}, nil, err
	}
	if args, err = r.getCall(tx, sc); err != nil {
		return Record{}, nil, err
	}
	return r, args, nil
}

// State reads where a task stands: less work than Get.
func (s *Store) State(id uint64) (Record, error) {
	var r Record
	sc := getScratch()
	defer sc.free()
	sc.key = keyOfID(sc.key, tagRecord, id)
	value, pin, err := s.space.Peek(sc.key, sc.val[:0])
	if err != nil {
		return r, missing(err, id)
	}
	err = r.decode(id, sc.key, value)
	if pin != nil {
		pin.Abort()
	}
	return r, err
}

// Args reads a task's arguments: a copy.
func (s *Store) Args(id uint64) ([]byte, error) {
	_, args, err := s.load(id, true, false)
	return args, err
}

// Result reads a task's record and, when it has ended with one, a copy of its
// result or error: Record.State says which. Where there is none, payload is nil.
func (s *Store) Result(id uint64) (r Record, payload []byte, err error) {
	return s.load(id, false, true)
}

func (s *Store) load(id uint64, args, outcome bool) (Record, []byte, error) {
	tx, err := s.space.Begin(store.Read, store.Wait{})
	if err != nil {
		return Record{}, nil, err
	}
	defer tx.Abort()
	r, call, err := s.GetTx(tx, id)
	if err != nil {
		return Record{}, nil, err
	}
	if args {
		return r, slices.Clone(nonNil(call)), nil
	}
	if !outcome || r.Flags&FlagOutcome == 0 {
		return r, nil, nil
	}
	sc := getScratch()
	defer sc.free()
	sc.key = keyOfID(sc.key, tagOutcome, id)
	value, err := tx.Get(sc.key)
	if errors.Is(err, store.ErrNotFound) {
		return Record{}, nil, damaged(sc.key, "the outcome of the task is missing")
	}
	if err != nil {
		return Record{}, nil, err
	}
	if value, err = unseal(sc.key, value); err != nil {
		return Record{}, nil, err
	}
	return r, slices.Clone(nonNil(value)), nil
}

// nonNil keeps an empty payload apart from none.
func nonNil(p []byte) []byte {
	if p == nil {
		return []byte{}
	}
	return p
}

// WaitDone sleeps until the task has ended and returns its record without the
// call. errs.Timeout when the time ran out (errs.WouldBlock where there was
// none), errs.NotFound when the task was dropped.
func (s *Store) WaitDone(ctx context.Context, id uint64, wait store.Wait) (Record, error) {
	channel := store.ChannelOf(id)
	var deadline time.Time
	if wait.Timeout > 0 {
		deadline = time.Now().Add(wait.Timeout)
	}
	for {
		seen := s.space.Version(channel)
		r, err := s.State(id)
		if err != nil || r.State.Done() {
			return r, err
		}
		pause := store.Wait{Timeout: time.Hour, Interrupted: wait.Interrupted, Look: wait.Look}
		switch left := time.Until(deadline); {
		case wait.Timeout == 0:
			return r, errs.Newf(errs.WouldBlock, "wait for task", subject(id), "it is %s", r.State)
		case wait.Timeout > 0 && left <= 0:
			return r, errs.Newf(errs.Timeout, "wait for task", subject(id),
				"it is still %s after %s", r.State, wait.Timeout)
		case wait.Timeout > 0:
			pause.Timeout = min(pause.Timeout, left)
		}
		_, err = s.space.WaitChange(ctx, channel, seen, pause)
		if err != nil && !errs.Has(err, errs.Timeout) && !errs.Has(err, errs.WouldBlock) {
			return r, err
		}
	}
}

// Filter selects tasks; its zero value is all of them.
type Filter struct {
	State     State
	Asyncable *UUID
}

// List returns up to limit tasks with ids after after, in the order of ids,
// each with its call.
func (s *Store) List(f Filter, after uint64, limit int) (records []Record, err error) {
	tx, err := s.space.Begin(store.Read, store.Wait{})
	if err != nil {
		return nil, err
	}
	defer tx.Abort()
	sc := getScratch()
	defer sc.free()
	if records, err = listTx(tx, sc, f, after, limit); err != nil {
		return nil, err
	}
	for i := range records {
		if _, err := records[i].getCall(tx, sc); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func (s *Store) count(f Filter) (count int, err error) {
	tx, err := s.space.Begin(store.Read, store.Wait{})
	if err != nil {
		return 0, err
	}
	defer tx.Abort()
	sc := getScratch()
	defer sc.free()
	for after := uint64(0); ; {
		records, err := listTx(tx, sc, f, after, 1000)
		if err != nil || len(records) == 0 {
			return count, err
		}
		count += len(records)
		after = records[len(records)-1].ID
	}
}

// listTx lists without calls. Each filter walks the smallest index there is for
// it; what pends is found by walking records from the oldest pending id on.
func listTx(tx store.Txn, sc *scratch, f Filter, after uint64, limit int) (records []Record, err error) {
	if limit <= 0 || after == 1<<64-1 {
		return nil, nil
	}
	keep := func(r *Record) bool {
		if (f.State == 0 || r.State == f.State) && (f.Asyncable == nil || r.Asyncable == *f.Asyncable) {
			records = append(records, *r)
		}
		return len(records) < limit
	}
	var r Record
	byIndex := func(key, _ []byte) (bool, error) {
		if err := r.get(tx, sc, lastID(key)); err != nil {
			return false, err
		}
		return keep(&r), nil
	}
	var walk store.Range
	switch {
	case f.State == Running:
		ids, err := runningIDs(tx)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if id <= after {
				continue
			}
			if err := r.get(tx, sc, id); err != nil {
				return nil, err
			}
			if !keep(&r) {
				break
			}
		}
		return records, nil
	case f.State > Finished:
		walk = store.Prefix(keyOfEnded(nil, f.State, 0)[:3])
		walk.Lo = keyOfEnded(nil, f.State, after+1)
	case f.Asyncable != nil && f.State != Submitted:
		walk = store.Prefix(keyOfAsyncable(nil, tagCall, *f.Asyncable, 0)[:18])
		walk.Lo = keyOfAsyncable(nil, tagCall, *f.Asyncable, after+1)
	default:
		if f.State == Submitted {
			oldest, err := oldestPending(tx, sc)
			if err != nil || oldest == 0 {
				return nil, err
			}
			after = max(after, oldest-1)
		}
		walk = store.Prefix([]byte{keyspace, tagRecord})
		walk.Lo = keyOfID(nil, tagRecord, after+1)
		err = scanAll(tx, walk, func(key, value []byte) (bool, error) {
			if err := r.decode(lastID(key), key, value); err != nil {
				return false, err
			}
			return keep(&r), nil
		})
		return records, err
	}
	walk.KeysOnly = true
	err = scanAll(tx, walk, byIndex)
	return records, err
}

func runningIDs(tx store.Txn) (ids []uint64, err error) {
	err = scanAll(tx, tagRange(tagRunning), func(key, _ []byte) (bool, error) {
		ids = append(ids, lastID(key))
		return true, nil
	})
	slices.Sort(ids)
	return ids, err
}

// oldestPending is the smallest id among ready and delayed tasks; 0 for none.
// Ready keys of one queue and priority are in the order of ids, so only the
// first of each is looked at.
func oldestPending(tx store.Txn, sc *scratch) (oldest uint64, err error) {
	older := func(id uint64) {
		if oldest == 0 || id < oldest {
			oldest = id
		}
	}
	r := tagRange(tagReady)
	for {
		n, err := tx.Scan(r, sc.entries[:])
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		key := sc.entries[0].Key
		older(lastID(key))
		r.Lo = store.After(key[:len(key)-8])
	}
	err = scanAll(tx, rangeDelayed, func(key, _ []byte) (bool, error) {
		older(lastID(key))
		return true, nil
	})
	return oldest, err
}

// scanAll calls fn for the entries of a range until it says stop. fn may read,
// not write.
func scanAll(tx store.Txn, r store.Range, fn func(key, value []byte) (bool, error)) error {
	var batch [128]store.Entry
	for {
		n, err := tx.Scan(r, batch[:])
		if err != nil {
			return err
		}
		for _, e := range batch[:n] {
			if more, err := fn(e.Key, e.Value); err != nil || !more {
				return err
			}
		}
		if n < len(batch) {
			return nil
		}
		r = r.Rest(batch[n-1].Key)
	}
}
