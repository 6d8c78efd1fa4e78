package tasks

import (
	"context"
	"errors"
	"strconv"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// maxBackoff bounds the doubling of Spec.Backoff.
const maxBackoff = int64(time.Hour)

// Worker is who claims. ID is of NewWorker and never used again, so that a
// worker that is dead cannot be taken for one that lives.
type Worker struct {
	ID     uint64
	PID    int
	Queues []string // the queues it serves; none is all of them
}

// Ticket proves a claim: what a worker shows to end its task.
type Ticket struct {
	ID     uint64
	Token  uint64
	Worker uint64
}

// Claim is a task to run.
type Claim struct {
	Ticket
	Attempt     uint32
	Asyncable   UUID
	Name        string
	CodeVersion uint64
	Args        []byte // a copy
}

// Claim takes the next task, waiting for one as wait says; nil without an
// error when the time ran out. errs.Fenced when the worker is retired: it gets
// no further task and should end. A cancelled ctx is errs.Interrupted.
func (s *Store) Claim(ctx context.Context, worker Worker, wait store.Wait) (*Claim, error) {
	var deadline time.Time
	if wait.Timeout > 0 {
		deadline = time.Now().Add(wait.Timeout)
	}
	turn := store.Wait{Timeout: -1, Interrupted: wait.Interrupted}
	for {
		seen := s.space.Version(Pending)
		// A look costs readers nothing; only who sees a task asks for the
		// writer's turn, also when a hundred idle workers were woken.
		ready, due, err := s.look(worker)
		if err != nil {
			return nil, err
		}
		if ready {
			var claim *Claim
			err := s.space.Update(turn, func(tx store.Txn) (err error) {
				claim, err = s.ClaimTx(tx, worker)
				return err
			})
			if err != nil || claim != nil {
				return claim, err
			}
			continue // another worker was faster
		}
		if wait.Timeout == 0 {
			return nil, nil
		}
		pause := store.Wait{Timeout: time.Hour, Interrupted: wait.Interrupted}
		if due > 0 {
			pause.Timeout = max(time.Duration(due-s.now()), time.Microsecond)
		}
		if wait.Timeout > 0 {
			left := time.Until(deadline)
			if left <= 0 {
				return nil, nil
			}
			pause.Timeout = min(pause.Timeout, left)
		}
		_, err = s.space.WaitChange(ctx, Pending, seen, pause)
		if err != nil && !errs.Has(err, errs.Timeout) && !errs.Has(err, errs.WouldBlock) {
			return nil, s.passOn(err)
		}
	}
}

// passOn hands a wake-up that this worker may have used up to the next one,
// because it is leaving without having looked. It returns cause.
func (s *Store) passOn(cause error) error {
	if ready, _, err := s.look(Worker{}); err == nil && ready {
		// Failing here costs at most the time until the next task or worker.
		_ = s.space.Update(writersTurn, func(tx store.Txn) error {
			tx.WakeOne(Pending)
			return nil
		})
	}
	return cause
}

// look says whether the worker would find a task now, or when it will be due.
func (s *Store) look(worker Worker) (ready bool, due int64, err error) {
	tx, err := s.space.Begin(store.Read, store.Wait{})
	if err != nil {
		return false, 0, err
	}
	defer tx.Abort()
	sc := getScratch()
	defer sc.free()
	if err := retired(tx, sc, worker.ID); err != nil {
		return false, 0, err
	}
	ready, due, err = survey(tx, sc, worker.Queues, true)
	if due > 0 && due <= s.now() {
		ready = true // perhaps for another queue: ClaimTx tells
	}
	return ready, due, err
}

// retired refuses a worker that is to get no further task.
func retired(tx store.Txn, sc *scratch, worker uint64) error {
	if worker == 0 {
		return nil
	}
	sc.key = keyOfID(sc.key, tagRetired, worker)
	_, err := tx.Get(sc.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = errs.New(errs.Fenced, "claim task", "worker "+strconv.FormatUint(worker, 10),
			"the worker was retired; it should end, and another one takes its place where one is needed")
	}
	return err
}

var (
	rangeDelayed = tagRange(tagDelayed)
	// rangeWaiting is ready and delayed tasks: one look past the last queue's
	// tasks finds the nearest due time.
	rangeWaiting = store.Range{Lo: []byte{keyspace, tagReady}, Hi: []byte{keyspace, tagDelayed + 1}, KeysOnly: true}
)

func tagRange(tag byte) store.Range {
	r := store.Prefix([]byte{keyspace, tag})
	r.KeysOnly = true
	return r
}

func dueOf(key []byte) int64 {
	if len(key) != 18 {
		return 0
	}
	var due uint64
	for _, c := range key[2:10] {
		due = due<<8 | uint64(c)
	}
	return int64(due)
}

// survey puts the ready key to claim next into sc.key2: the highest priority of
// all queues served, then the oldest task. due is the nearest due time of a
// delayed task; 0 when there is none. With any it stops at the first ready
// task, without due.
func survey(tx store.Txn, sc *scratch, queues []string, any bool) (found bool, due int64, err error) {
	rank, id := byte(0), uint64(0)
	better := func(key []byte) (queue []byte, err error) {
		queue, r, i, ok := splitReady(key)
		if !ok {
			return nil, damaged(key, "it is no key of a queue")
		}
		if !found || r < rank || r == rank && i < id {
			found, rank, id = true, r, i
			sc.key2 = append(sc.key2[:0], key...)
		}
		return queue, nil
	}
	for _, queue := range queues {
		sc.key = append(append(append(sc.key[:0], keyspace, tagReady), queue...), 0)
		r := store.Prefix(sc.key)
		r.KeysOnly = true
		n, err := tx.Scan(r, sc.entries[:])
		if err != nil {
			return false, 0, err
		}
		if n > 0 {
			if _, err := better(sc.entries[0].Key); err != nil || any {
				return found, 0, err
			}
		}
	}
	r := rangeWaiting
	if len(queues) > 0 {
		r = rangeDelayed
	}
	// All queues: their names are not known, so go from one head to where the
	// next queue's keys begin.
	for {
		n, err := tx.Scan(r, sc.entries[:])
		if err != nil || n == 0 {
			return found, 0, err
		}
		key := sc.entries[0].Key
		if key[1] == tagDelayed {
			return found, dueOf(key), nil
		}
		queue, err := better(key)
		if err != nil || any {
			return found, 0, err
		}
		sc.key = append(append(append(sc.key[:0], keyspace, tagReady), queue...), 1)
		r.Lo = sc.key
	}
}

// promote makes delayed tasks ready whose time has come, a hundred at once so
// that no transaction grows without bound.
func promote(tx store.Txn, sc *scratch, now int64) error {
	for range 100 {
		n, err := tx.Scan(rangeDelayed, sc.entries[:])
		if err != nil || n == 0 || dueOf(sc.entries[0].Key) > now {
			return err
		}
		key := append([]byte(nil), sc.entries[0].Key...)
		var r Record
		if err := r.get(tx, sc, lastID(key)); err != nil {
			return err
		}
		if _, err := tx.Del(key); err != nil {
			return err
		}
		sc.key = keyOfReady(sc.key, r.Queue, r.Priority, r.ID)
		if err := putMark(tx, sc.key); err != nil {
			return err
		}
		tx.WakeOne(Pending)
	}
	return nil
}

// ClaimTx is Claim without a wait, in a transaction that the caller ends; nil
// when nothing is ready.
func (s *Store) ClaimTx(tx store.Txn, worker Worker) (*Claim, error) {
	if worker.ID == 0 {
		return nil, errs.New(errs.InvalidArgument, "claim task", "", "a worker has an id of NewWorker")
	}
	sc := getScratch()
	defer sc.free()
	if err := retired(tx, sc, worker.ID); err != nil {
		return nil, err
	}
	now := s.now()
	found, due, err := survey(tx, sc, worker.Queues, false)
	if err == nil && due > 0 && due <= now {
		if err = promote(tx, sc, now); err == nil {
			found, _, err = survey(tx, sc, worker.Queues, false)
		}
	}
	if err != nil || !found {
		return nil, err
	}
	r := &sc.record
	if err := r.get(tx, sc, lastID(sc.key2)); err != nil {
		return nil, err
	}
	args, err := r.getCall(tx, sc)
	if err != nil {
		return nil, err
	}
	claim := &Claim{Args: append([]byte(nil), args...)} // before the first write ends its life
	if _, err := tx.Del(sc.key2); err != nil {
		return nil, err
	}
	if err := r.step(EventClaim); err != nil {
		return nil, err
	}
	r.Token++
	r.Attempt++
	r.Start, r.Due = now, 0
	r.Worker, r.PID = worker.ID, worker.PID
	if err := r.put(tx, sc); err != nil {
		return nil, err
	}
	sc.key = keyOfPair(sc.key, tagRunning, worker.ID, r.ID)
	if err := putMark(tx, sc.key); err != nil {
		return nil, err
	}
	claim.Ticket = Ticket{ID: r.ID, Token: r.Token, Worker: worker.ID}
	claim.Attempt, claim.Asyncable, claim.Name, claim.CodeVersion = r.Attempt, r.Asyncable, r.Name, r.CodeVersion
	return claim, nil
}

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
