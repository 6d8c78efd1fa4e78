package tasks

import (
	"context"
	"errors"
	"strconv"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

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
		pause := store.Wait{Timeout: time.Hour, Interrupted: wait.Interrupted, Look: wait.Look}
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
		err = r.get(tx, sc, lastID(key))
		if err != nil && !unreadable(err) {
			return err
		}
		if _, err := tx.Del(key); err != nil {
			return err
		}
		if err != nil {
			continue // it stays for Audit to report, and is in nobody's way
		}
		sc.key = keyOfReady(sc.key, r.Queue, r.Priority, r.ID)
		if err := putMark(tx, sc.key); err != nil {
			return err
		}
		tx.WakeOne(Pending)
	}
	return nil
}

// unreadable reports an error that is about one record, not about the store.
func unreadable(err error) bool {
	return errs.Has(err, errs.Corrupt) || errs.Has(err, errs.NotFound)
}

// ClaimTx is Claim without a wait, in a transaction that the caller ends, and
// aborts or rolls back after an error; nil when nothing is ready.
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
	for {
		found, due, err := survey(tx, sc, worker.Queues, false)
		if err == nil && due > 0 && due <= now {
			if err = promote(tx, sc, now); err == nil {
				found, _, err = survey(tx, sc, worker.Queues, false)
			}
		}
		if err != nil || !found {
			return nil, err
		}
		claim, err := s.claimReady(tx, sc, worker, now)
		if err != nil || claim != nil {
			return claim, err
		}
	}
}

// claimReady claims the task that survey found. It returns nil for one that
// cannot be read, which it takes out of the queue: one damaged record must not
// stop the pool.
func (s *Store) claimReady(tx store.Txn, sc *scratch, worker Worker, now int64) (*Claim, error) {
	r := &sc.record
	var claim *Claim
	broken := r.get(tx, sc, lastID(sc.key2))
	readable := broken == nil
	if readable {
		var args []byte
		if args, broken = r.getCall(tx, sc); broken == nil {
			claim = &Claim{Args: append([]byte(nil), args...)} // before the first write ends its life
		}
	}
	if broken != nil && !unreadable(broken) {
		return nil, broken
	}
	if _, err := tx.Del(sc.key2); err != nil || !readable {
		return nil, err
	}
	if err := r.step(EventClaim); err != nil {
		return nil, err
	}
	r.Token++
	r.Attempt++
	r.Start, r.Due = now, 0
	r.Worker, r.PID = worker.ID, worker.PID
	if broken != nil {
		r.Detail = broken.Error()
		return nil, s.end(tx, sc, r, EventCrash)
	}
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
