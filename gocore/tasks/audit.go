package tasks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Audit reads the whole task space and checks that every index says what the
// records say, no more and no less. It returns the number of tasks by state,
// and errs.Corrupt with the first few faults found.
func (s *Store) Audit() (counts map[State]int, err error) {
	tx, err := s.space.Begin(store.Read, store.Wait{})
	if err != nil {
		return nil, err
	}
	defer tx.Abort()
	counts = map[State]int{}
	var faults []error
	fault := func(format string, args ...any) {
		if len(faults) < 5 {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	// What the records ask for: each key that must be there, ticked off below.
	want := map[string]bool{}
	var last uint64
	records := tagRange(tagRecord)
	records.KeysOnly = false
	err = scanAll(tx, records, func(key, value []byte) (bool, error) {
		var r Record
		if err := r.decode(lastID(key), key, value); err != nil {
			fault("%w", err)
			return true, nil
		}
		counts[r.State]++
		last = r.ID
		var ready []byte
		for _, key := range r.indexKeys() {
			if key[1] == tagReady {
				ready = key
			}
			want[string(key)] = true
		}
		if ready != nil && r.Due > 0 { // delayed, until a claim finds it due
			delayed := keyOfPair(nil, tagDelayed, uint64(r.Due), r.ID)
			if _, err := tx.Get(delayed); err == nil {
				delete(want, string(ready))
				want[string(delayed)] = true
			}
		}
		if end := r.State.Done(); end != (r.End != 0) {
			fault("task %d is %s with the end time %d", r.ID, r.State, r.End)
		}
		if r.Flags&FlagOutcome != 0 && r.State != Finished && r.State != Failed || r.Flags&FlagOutcome == 0 && r.State == Finished {
			fault("task %d is %s, which does not fit the presence of its outcome", r.ID, r.State)
		}
		if uint64(r.Attempt) > r.Token {
			fault("task %d: attempt %d of %d claims", r.ID, r.Attempt, r.Token)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, tag := range []byte{tagCall, tagOutcome, tagReady, tagDelayed, tagRunning, tagLimited, tagEnded} {
		r := tagRange(tag)
		r.KeysOnly = false
		err := scanAll(tx, r, func(key, value []byte) (bool, error) {
			if err := Verify(key, value); err != nil {
				fault("%w", err)
			}
			if !want[string(key)] {
				fault("%s: no record asks for this entry", hexOf(key))
			}
			delete(want, string(key))
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	counter, err := tx.Get(keyTaskCounter)
	if err != nil && err != store.ErrNotFound {
		return nil, err
	}
	if last > 0 && (len(counter) != 8 || binary.BigEndian.Uint64(counter) < last) {
		fault("the counter of tasks stands at %x though task %d exists: ids would be given out again", counter, last)
	}
	for key := range want {
		fault("%s: missing, a record of task %d asks for it", hexOf([]byte(key)), lastID([]byte(key)))
	}
	if len(faults) > 0 {
		return counts, errs.Wrap(errs.Corrupt, "audit tasks", "", errors.Join(faults...))
	}
	return counts, nil
}

// indexKeys are the keys beside its own that a record in its state has; a
// submitted task's is that of the ready queue.
func (r *Record) indexKeys() [][]byte {
	keys := [][]byte{keyOfAsyncable(nil, tagCall, r.Asyncable, r.ID)}
	switch r.State {
	case Submitted:
		keys = append(keys, keyOfReady(nil, r.Queue, r.Priority, r.ID))
	case Running:
		keys = append(keys, keyOfPair(nil, tagRunning, r.Worker, r.ID))
	case Failed, Crashed, Cancelled:
		keys = append(keys, keyOfEnded(nil, r.State, r.ID))
	}
	if r.Flags&FlagOutcome != 0 {
		keys = append(keys, keyOfID(nil, tagOutcome, r.ID))
	}
	if r.Flags&FlagLimited != 0 && !r.State.Done() {
		keys = append(keys, keyOfAsyncable(nil, tagLimited, r.Asyncable, r.ID))
	}
	for i := range keys {
		keys[i] = bytes.Clone(keys[i])
	}
	return keys
}
