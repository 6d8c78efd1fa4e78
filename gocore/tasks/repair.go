package tasks

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"parkit/gocore/store"
)

// Inspect is Audit for a space that need not be prepared; it writes nothing.
func Inspect(space store.Space) error {
	_, err := (&Store{space: space}).Audit()
	return err
}

// Repair brings the task space back into step in one transaction: damaged
// records are handed to aside and removed, and the indexes are made to say what
// the records say. A task whose record or call was lost is gone; one whose
// outcome was lost is crashed. Worker records that were lost come again when
// the pool looks.
func Repair(tx store.Txn, aside func(key, value []byte, reason string)) error {
	f := &fixer{tx: tx, aside: aside, want: map[string]bool{}, sc: getScratch()}
	defer f.sc.free()
	var damaged [][]byte
	err := scanAll(tx, store.Prefix([]byte{keyspace}), func(key, value []byte) (bool, error) {
		if err := Verify(key, value); err != nil {
			aside(bytes.Clone(key), bytes.Clone(value), "its checksum does not fit")
			damaged = append(damaged, bytes.Clone(key))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, key := range damaged {
		if _, err := tx.Del(key); err != nil {
			return err
		}
	}
	if err := f.records(); err != nil {
		return err
	}
	if err := f.indexes(); err != nil {
		return err
	}
	return f.counter()
}

type fixer struct {
	tx    store.Txn
	aside func(key, value []byte, reason string)
	sc    *scratch
	want  map[string]bool // keys that records ask for
	last  uint64
}

// records settles what each record says, and which keys it asks for.
func (f *fixer) records() error {
	var ids []uint64
	err := scanAll(f.tx, tagRange(tagRecord), func(key, _ []byte) (bool, error) {
		ids = append(ids, lastID(key))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		f.last = max(f.last, id)
		if err := f.record(id); err != nil {
			return err
		}
	}
	return nil
}

func (f *fixer) record(id uint64) error {
	var r Record
	key := keyOfID(nil, tagRecord, id)
	value, err := f.tx.Get(key)
	if err != nil {
		return err
	}
	if err := r.decode(id, key, value); err != nil {
		return f.remove(key, value, "it is not a task record")
	}
	if _, err := f.tx.Get(keyOfAsyncable(nil, tagCall, r.Asyncable, id)); err == store.ErrNotFound {
		return f.remove(key, value, "the call of the task was lost, so it can neither run nor be shown")
	} else if err != nil {
		return err
	}
	if r.Flags&FlagOutcome != 0 {
		if _, err := f.tx.Get(keyOfID(nil, tagOutcome, id)); err == store.ErrNotFound {
			r.Flags &^= FlagOutcome
			r.State, r.Detail = Crashed, "its outcome was lost in a damaged file"
			if err := r.put(f.tx, f.sc); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	for _, key := range r.indexKeys() {
		if key[1] == tagReady && r.Due > 0 {
			delayed := keyOfPair(nil, tagDelayed, uint64(r.Due), id)
			if _, err := f.tx.Get(delayed); err == nil {
				key = delayed
			} else if err != store.ErrNotFound {
				return err
			}
		}
		f.want[string(key)] = true
	}
	return nil
}

// indexes removes what no record asks for, and adds what is missing.
func (f *fixer) indexes() error {
	for _, tag := range []byte{tagCall, tagOutcome, tagReady, tagDelayed, tagRunning, tagLimited, tagEnded} {
		r := tagRange(tag)
		r.KeysOnly = false
		var unwanted []store.Entry
		err := scanAll(f.tx, r, func(key, value []byte) (bool, error) {
			if !f.want[string(key)] {
				unwanted = append(unwanted, store.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value)})
			}
			delete(f.want, string(key))
			return true, nil
		})
		if err != nil {
			return err
		}
		for _, e := range unwanted {
			if err := f.remove(e.Key, e.Value, "no record of a task asks for it"); err != nil {
				return err
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.want)) {
		if err := putMark(f.tx, []byte(key)); err != nil {
			return err
		}
		f.tx.Touch(store.ChannelOf(lastID([]byte(key))))
	}
	f.tx.WakeOne(Pending)
	return nil
}

func (f *fixer) remove(key, value []byte, reason string) error {
	f.aside(bytes.Clone(key), bytes.Clone(value), reason)
	_, err := f.tx.Del(key)
	f.tx.Touch(store.ChannelOf(lastID(key)))
	return err
}

// counter keeps the ids of tasks from being given out again.
func (f *fixer) counter() error {
	raw, err := f.tx.Get(keyTaskCounter)
	if err != nil && err != store.ErrNotFound {
		return err
	}
	if f.last == 0 || len(raw) == 8 && binary.BigEndian.Uint64(raw) >= f.last {
		return nil
	}
	_, err = f.tx.Put(keyTaskCounter, appendID(nil, f.last))
	return err
}
