package tasks

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// FormatVersion is of the task space; a newer one is refused without a write.
const FormatVersion = 1

const (
	// Pending advances when a task becomes ready; idle workers sleep on it.
	Pending = store.FirstReserved
	// PoolControl advances when something changed that the pool's monitor or
	// those who wait for it look at: concurrency, a worker ready, a cancel.
	PoolControl = store.FirstReserved + 1
)

// writersTurn bounds the wait for the writer's turn where the caller's own
// bound is about something else.
var writersTurn = store.Wait{Timeout: -1}

// Store is the tasks of one site. It is safe for use by several goroutines.
type Store struct {
	space store.Space
	site  [8]byte // first half of every task's uuid
}

// Open prepares the task space; it does not close it. errs.NewerFormat when a
// newer parkit wrote it.
func Open(space store.Space) (*Store, error) {
	s := &Store{space: space}
	value, pin, err := space.Peek(keyFormat, make([]byte, 0, 64))
	if err == nil {
		err = s.readFormat(value)
		if pin != nil {
			pin.Abort()
		}
		return s, err
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	var site [8]byte
	if _, err := rand.Read(site[:]); err != nil {
		return nil, errs.Wrap(errs.IO, "open tasks", "", err)
	}
	err = space.Update(writersTurn, func(tx store.Txn) error {
		value, err := tx.Get(keyFormat)
		if err == nil {
			return s.readFormat(value) // another process was faster
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		s.site = site
		w := newFields(nil)
		w.uint(1, FormatVersion)
		w.bin(2, site[:])
		return putSealed(tx, keyFormat, w.done(), nil)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) readFormat(value []byte) error {
	content, err := unseal(keyFormat, value)
	if err != nil {
		return err
	}
	var version uint64
	f := fieldReader{b: content}
	for n := f.mapLen(); n > 0 && !f.bad; n-- {
		switch f.uint() {
		case 1:
			version = f.uint()
		case 2:
			copy(s.site[:], f.bytes())
		default:
			f.skip(0)
		}
	}
	if f.bad || version == 0 {
		return damaged(keyFormat, "it is not a format record")
	}
	if version > FormatVersion {
		return errs.Newf(errs.NewerFormat, "open tasks", "",
			"the tasks have format %d and this parkit knows up to %d; use a newer parkit", version, FormatVersion)
	}
	return nil
}

// Space is the space the tasks are kept in.
func (s *Store) Space() store.Space { return s.space }

// UUID is the identity of a task beyond its site. It is made of the site's own
// random half and the id, so that it need not be stored, and IDOf undoes it.
func (s *Store) UUID(id uint64) UUID {
	var u UUID
	copy(u[:8], s.site[:])
	binary.BigEndian.PutUint64(u[8:], id)
	u[6] = u[6]&0x0F | 0x80 // version 8: made by a rule of one's own
	u[8] = u[8]&0x3F | 0x80
	return u
}

// IDOf is the id of the task with that uuid; false when it is of another site.
func (s *Store) IDOf(u UUID) (uint64, bool) {
	id := binary.BigEndian.Uint64(u[8:]) &^ (3 << 62)
	return id, s.UUID(id) == u
}

func (s *Store) now() int64 { return s.space.Now().UnixNano() }

// Submit stores a task and wakes a worker. ok is false, and nothing stored,
// when spec.Limit tasks of the asyncable are under way.
func (s *Store) Submit(spec *Spec, wait store.Wait) (id uint64, ok bool, err error) {
	err = s.space.Update(wait, func(tx store.Txn) error {
		id, ok, err = s.SubmitTx(tx, spec)
		return err
	})
	if err != nil {
		return 0, false, err
	}
	return id, ok, nil
}

// SubmitMany stores tasks in one transaction: all, or none after an error. A
// task over its limit gets the id 0.
func (s *Store) SubmitMany(specs []Spec, wait store.Wait) (ids []uint64, err error) {
	ids = make([]uint64, len(specs))
	err = s.space.Update(wait, func(tx store.Txn) error {
		for i := range specs {
			if ids[i], _, err = s.SubmitTx(tx, &specs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// SubmitTx is Submit in a transaction of the task space that the caller ends,
// and aborts or rolls back after an error.
func (s *Store) SubmitTx(tx store.Txn, spec *Spec) (id uint64, ok bool, err error) {
	if err := spec.check(); err != nil {
		return 0, false, err
	}
	if spec.Limit > 0 {
		n, err := countLimited(tx, spec.Asyncable, spec.Limit)
		if err != nil || n >= spec.Limit {
			return 0, false, err
		}
	}
	if id, err = tx.NextSeq(keyTaskCounter); err != nil {
		return 0, false, err
	}
	sc := getScratch()
	defer sc.free()
	now := s.now()
	r := &sc.record
	*r = Record{
		ID: id, State: Submitted, Asyncable: spec.Asyncable,
		Queue: spec.Queue, Priority: spec.Priority,
		Created: now, Due: spec.Due, Retries: spec.Retries,
	}
	if spec.RetryOnCrash {
		r.Flags |= FlagRetryOnCrash
	}
	if spec.RetryOnFailure {
		r.Flags |= FlagRetryOnFailure
	}
	if spec.Limit > 0 {
		r.Flags |= FlagLimited
		sc.key = keyOfAsyncable(sc.key, tagLimited, spec.Asyncable, id)
		if err := putMark(tx, sc.key); err != nil {
			return 0, false, err
		}
	}
	w := newFields(sc.val[:0])
	w.str(callName, spec.Name)
	w.uint(callCodeVersion, spec.CodeVersion)
	w.int(callBackoff, spec.Backoff)
	w.binHead(callArgs, len(spec.Args))
	sc.val = w.done()
	sc.key = keyOfAsyncable(sc.key, tagCall, spec.Asyncable, id)
	if err := putSealed(tx, sc.key, sc.val, spec.Args); err != nil {
		return 0, false, err
	}
	if err := enqueue(tx, sc, r, now); err != nil {
		return 0, false, err
	}
	if err := r.put(tx, sc); err != nil {
		return 0, false, err
	}
	return id, true, nil
}

func (spec *Spec) check() error {
	switch {
	case len(spec.Queue) > maxQueueName || strings.IndexByte(spec.Queue, 0) >= 0:
		return errs.Newf(errs.InvalidArgument, "submit task", spec.Name,
			"a queue's name has at most %d bytes and no NUL", maxQueueName)
	case spec.Limit < 0 || spec.Backoff < 0 || spec.Due < 0:
		return errs.New(errs.InvalidArgument, "submit task", spec.Name,
			"limit, backoff and due time cannot be negative")
	case uint64(len(spec.Args)) > 1<<32-1:
		return errs.New(errs.TooBig, "submit task", spec.Name,
			"the arguments are larger than 4 GiB; put them into a persistent object and pass that")
	}
	return nil
}

// enqueue puts a submitted task where a worker will find it, and wakes one. A
// task that must wait wakes all: each idle worker sleeps until the nearest due
// time, and any of them may be the only one still idle then.
func enqueue(tx store.Txn, sc *scratch, r *Record, now int64) error {
	if r.Due > now {
		sc.key = keyOfPair(sc.key, tagDelayed, uint64(r.Due), r.ID)
		tx.Touch(Pending)
	} else {
		sc.key = keyOfReady(sc.key, r.Queue, r.Priority, r.ID)
		tx.WakeOne(Pending)
	}
	return putMark(tx, sc.key)
}

// dequeue removes a submitted task from where enqueue put it, which the clock
// of now does not tell: a delayed task may have been made ready since.
func dequeue(tx store.Txn, sc *scratch, r *Record) error {
	if r.Due > 0 {
		sc.key = keyOfPair(sc.key, tagDelayed, uint64(r.Due), r.ID)
		if was, err := tx.Del(sc.key); was || err != nil {
			return err
		}
	}
	sc.key = keyOfReady(sc.key, r.Queue, r.Priority, r.ID)
	_, err := tx.Del(sc.key)
	return err
}

// countLimited counts tasks that have not ended, up to most.
func countLimited(tx store.Txn, asyncable UUID, most int) (int, error) {
	prefix := keyOfAsyncable(nil, tagLimited, asyncable, 0)[:18]
	r := store.Prefix(prefix)
	r.KeysOnly = true
	entries := make([]store.Entry, min(most, 256))
	count := 0
	for {
		n, err := tx.Scan(r, entries[:min(len(entries), most-count)])
		count += n
		if err != nil || count >= most || n < len(entries) {
			return count, err
		}
		r = r.Rest(entries[n-1].Key)
	}
}

// CountActive counts the tasks of an asyncable that have not ended.
func (s *Store) CountActive(asyncable UUID) (count int, err error) {
	for _, state := range []State{Submitted, Running} {
		n, err := s.count(Filter{State: state, Asyncable: &asyncable})
		if err != nil {
			return 0, err
		}
		count += n
	}
	return count, nil
}
