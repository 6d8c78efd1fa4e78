package tasks

import (
	"errors"
	"strconv"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// WorkerRecord is what a worker wrote when it was ready. That it is there does
// not prove that the worker lives: package pool's locks do.
type WorkerRecord struct {
	ID      uint64
	PID     int
	Since   int64 // ns
	Retired bool
	Tasks   []uint64 // its claims
}

const (
	workerPID = 1 + iota
	workerSince
)

// NewWorker draws the id of a worker; none is given twice.
func (s *Store) NewWorker(wait store.Wait) (id uint64, err error) {
	err = s.space.Update(wait, func(tx store.Txn) error {
		id, err = tx.NextSeq(keyWorkerCounter)
		return err
	})
	return id, err
}

// WorkerReady records that a worker is about to claim its first task.
func (s *Store) WorkerReady(id uint64, pid int, wait store.Wait) error {
	return s.space.Update(wait, func(tx store.Txn) error {
		w := newFields(nil)
		w.int(workerPID, int64(pid))
		w.int(workerSince, s.now())
		tx.Touch(PoolControl)
		return putSealed(tx, keyOfID(nil, tagWorker, id), w.done(), nil)
	})
}

// Workers lists the workers that have said they are ready, and those that hold
// claims without having said so (PID is 0 then).
func (s *Store) Workers() (workers []WorkerRecord, err error) {
	tx, err := s.space.Begin(store.Read, store.Wait{})
	if err != nil {
		return nil, err
	}
	defer tx.Abort()
	return workersTx(tx)
}

func workersTx(tx store.Txn) (workers []WorkerRecord, err error) {
	place := map[uint64]int{}
	at := func(id uint64) *WorkerRecord {
		i, ok := place[id]
		if !ok {
			i = len(workers)
			place[id] = i
			workers = append(workers, WorkerRecord{ID: id})
		}
		return &workers[i]
	}
	all := tagRange(tagWorker)
	all.KeysOnly = false
	err = scanAll(tx, all, func(key, value []byte) (bool, error) {
		content, err := unseal(key, value)
		if err != nil {
			return false, err
		}
		w := at(lastID(key))
		f := fieldReader{b: content}
		for n := f.mapLen(); n > 0 && !f.bad; n-- {
			switch f.uint() {
			case workerPID:
				w.PID = int(f.int())
			case workerSince:
				w.Since = f.int()
			default:
				f.skip(0)
			}
		}
		if f.bad {
			return false, damaged(key, "it is not the record of a worker")
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	err = scanAll(tx, tagRange(tagRunning), func(key, _ []byte) (bool, error) {
		if len(key) == 18 {
			w := at(lastID(key[:10]))
			w.Tasks = append(w.Tasks, lastID(key))
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	err = scanAll(tx, tagRange(tagRetired), func(key, _ []byte) (bool, error) {
		at(lastID(key)).Retired = true
		return true, nil
	})
	return workers, err
}

// CancelRequested lists the workers that run a task somebody cancelled, and
// that must therefore be terminated.
func (s *Store) CancelRequested() (workers []uint64, err error) {
	tx, err := s.space.Begin(store.Read, store.Wait{})
	if err != nil {
		return nil, err
	}
	defer tx.Abort()
	sc := getScratch()
	defer sc.free()
	ids, err := runningIDs(tx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		var r Record
		if err := r.get(tx, sc, id); err != nil {
			return nil, err
		}
		if r.Flags&FlagCancelRequested != 0 {
			workers = append(workers, r.Worker)
		}
	}
	return workers, nil
}

// Retire says that workers get no further task: their Claim is refused from
// now on, also one that is asleep. What they run goes on.
func (s *Store) Retire(workers []uint64, wait store.Wait) error {
	return s.space.Update(wait, func(tx store.Txn) error {
		sc := getScratch()
		defer sc.free()
		for _, id := range workers {
			if err := retire(tx, sc, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// RetireIdlest retires n of the candidates, those without a task first, and
// says which. Idle and retired is decided in one transaction: a worker that
// was chosen because it was idle cannot take a task before it is told.
func (s *Store) RetireIdlest(candidates []uint64, n int, wait store.Wait) (chosen []uint64, err error) {
	err = s.space.Update(wait, func(tx store.Txn) error {
		sc := getScratch()
		defer sc.free()
		chosen = nil
		var busy []uint64
		for _, id := range candidates {
			ids, err := runningOf(tx, id)
			if err != nil {
				return err
			}
			if len(ids) > 0 {
				busy = append(busy, id)
			} else {
				chosen = append(chosen, id)
			}
		}
		chosen = append(chosen, busy...)
		chosen = chosen[:min(n, len(chosen))]
		for _, id := range chosen {
			if err := retire(tx, sc, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return chosen, nil
}

func retire(tx store.Txn, sc *scratch, worker uint64) error {
	sc.key = keyOfID(sc.key, tagRetired, worker)
	tx.Touch(Pending)
	return putMark(tx, sc.key)
}

// Setting reads a setting of the pool; "" when it was never set.
func (s *Store) Setting(name string) (string, error) {
	key := keyOfSetting(nil, name)
	value, pin, err := s.space.Peek(key, make([]byte, 0, 256))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if pin != nil {
		defer pin.Abort()
	}
	content, err := unseal(key, value)
	return string(content), err
}

// SetSetting writes a setting of the pool, or removes it with "", and wakes who
// watches PoolControl.
func (s *Store) SetSetting(name, value string, wait store.Wait) error {
	if name == "" || len(name) > 64 {
		return errs.New(errs.InvalidArgument, "set", strconv.Quote(name), "a setting's name has 1 to 64 bytes")
	}
	return s.space.Update(wait, func(tx store.Txn) error {
		tx.Touch(PoolControl)
		key := keyOfSetting(nil, name)
		if value == "" {
			_, err := tx.Del(key)
			return err
		}
		return putSealed(tx, key, []byte(value), nil)
	})
}
