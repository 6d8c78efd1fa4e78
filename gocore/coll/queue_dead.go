package coll

import (
	"bytes"
	"encoding/binary"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// DeadLetter is an item that was given up. Value is the transaction's memory.
type DeadLetter struct {
	ID uint64
	keys.Held
}

// QueueDead lists the dead letters behind the one whose number is after, in the
// order in which they died, at most limit. What it gives is valid until the
// transaction writes or ends.
func QueueDead(tx *object.Tx, o *object.Object, after uint64, limit int) ([]DeadLetter, error) {
	if _, err := tx.State(o); err != nil {
		return nil, err
	}
	r := deadLetters(o)
	if after > 0 {
		r = r.Rest(keys.AppendItemKey(nil, o.Prefix, keys.TagDead, after))
	}
	entries := make([]store.Entry, limit)
	n, err := tx.Scan(r, entries)
	if err != nil {
		return nil, err
	}
	letters := make([]DeadLetter, n)
	for i, entry := range entries[:n] {
		held, err := keys.OpenHeld(entry.Key, entry.Value)
		if err != nil {
			return nil, err
		}
		letters[i] = DeadLetter{ID: keys.Position(entry.Key), Held: held}
	}
	return letters, nil
}

func deadLetters(o *object.Object) store.Range {
	return store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagDead))
}

// QueueRetryDead puts a dead letter into the queue as if it were put now, also
// past the bound on its length; store.ErrNotFound when there is none of that
// number, ErrQueueShut as of QueuePut.
func QueueRetryDead(tx *object.Tx, o *object.Object, id uint64) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	if state.Flags&object.FlagShut != 0 {
		return ErrQueueShut
	}
	key := keys.AppendItemKey(nil, o.Prefix, keys.TagDead, id)
	record, err := tx.Get(key)
	if err != nil {
		return err
	}
	held, err := keys.OpenHeld(key, bytes.Clone(record))
	if err != nil {
		return err
	}
	dbkey, own, err := newPlace(o, &held, state.Next)
	if err != nil {
		return err
	}
	if _, err := tx.Del(key); err != nil {
		return err
	}
	if _, err := tx.PutEntry(dbkey, own, held.Value); err != nil {
		return tx.Fail(err)
	}
	tx.Alter(o, func(s *object.State) {
		s.Dead--
		s.Length++
		s.Pending++
		s.Next++
	})
	return nil
}

// newPlace is the key of an item at the position next, and what its record holds as
// its key.
func newPlace(o *object.Object, held *keys.Held, next uint64) (dbkey, own []byte, err error) {
	if held.Place[0] != keys.TagRank {
		return keys.AppendItemKey(nil, o.Prefix, keys.TagItem, next), nil, nil
	}
	encoded := held.Place[1:]
	if len(held.Own) > 0 {
		whole, ok := keys.EncodedOf(held.Own)
		if !ok {
			return nil, nil, errs.New(errs.Corrupt, "put back", o.Name, "the dead letter's rank is damaged; check the namespace")
		}
		encoded = whole
	}
	if len(encoded) < keys.PositionSize {
		return nil, nil, errs.New(errs.Corrupt, "put back", o.Name, "the dead letter's rank is damaged; check the namespace")
	}
	encoded = binary.BigEndian.AppendUint64(bytes.Clone(encoded[:len(encoded)-keys.PositionSize]), next)
	dbkey, shortened := keys.AppendEntryKey(nil, o.Prefix, keys.TagRank, encoded)
	return dbkey, keys.OwnKey(nil, encoded, shortened), nil
}

// QueueRetryAllDead is QueueRetryDead of all, in their order; it returns how
// many there were.
func QueueRetryAllDead(tx *object.Tx, o *object.Object) (int, error) {
	state, err := tx.State(o)
	if err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		if state.Dead == 0 {
			return n, nil
		}
		var one [1]store.Entry
		r := deadLetters(o)
		r.KeysOnly = true
		found, err := tx.Scan(r, one[:])
		if err == nil && found == 0 {
			err = lost(r.Lo)
		}
		if err == nil {
			err = QueueRetryDead(tx, o, keys.Position(one[0].Key))
		}
		if err != nil {
			if n > 0 && err != ErrQueueShut {
				err = tx.Fail(err)
			}
			return n, err
		}
	}
}

// QueueClearDead removes a dead letter, all for 0; it returns how many that
// were.
func QueueClearDead(tx *object.Tx, o *object.Object, id uint64) (int, error) {
	state, err := tx.State(o)
	if err != nil || state.Dead == 0 {
		return 0, err
	}
	r := deadLetters(o)
	if id > 0 {
		r.Lo = keys.AppendItemKey(nil, o.Prefix, keys.TagDead, id)
		r.Hi = keys.AppendItemKey(nil, o.Prefix, keys.TagDead, id+1)
	}
	n, err := tx.DelRange(r)
	if err != nil {
		return 0, tx.Fail(err)
	}
	if n > 0 {
		tx.Alter(o, func(s *object.State) { s.Dead -= uint64(n) })
	}
	return n, nil
}
