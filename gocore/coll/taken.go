package coll

import (
	"bytes"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// Taken is what an operation removed and hands out. Its caller may find that it
// can make nothing of the value (it cannot be decoded, say): QueueReturn,
// ArrayReturn and DictReturn put it back where it was. All of it lies in one
// piece of memory, the value first, so that it crosses to the caller at once.
type Taken struct {
	packed       []byte
	value, place int   // lengths
	Due          int64 // when it ends, of a dict's entry; 0 for never
}

// take copies what is removed.
func take(value, place, own []byte) Taken {
	packed := append(make([]byte, 0, len(value)+len(place)+len(own)), value...)
	return takeFrom(packed, place, own)
}

// takeFrom is take for a copy of the value, behind which the rest is put.
func takeFrom(value, place, own []byte) Taken {
	packed := append(value, place...)
	if len(own) > 0 {
		packed = append(packed, own...)
	}
	return Taken{packed: packed, value: len(value), place: len(place)}
}

// TakenOf is a Taken from what Packed, Lengths and Due gave of it.
func TakenOf(packed []byte, value, place int, due int64) Taken {
	return Taken{packed: packed, value: value, place: place, Due: due}
}

// Value is the value.
func (t Taken) Value() []byte { return t.packed[:t.value:t.value] }

// Place is the key it had in the object, from the tag on; of a queue and a dict.
func (t Taken) Place() []byte { return t.packed[t.value : t.value+t.place : t.value+t.place] }

// Own is what its record held as the key.
func (t Taken) Own() []byte { return t.packed[t.value+t.place:] }

// Packed is value, place and own, one behind another.
func (t Taken) Packed() []byte { return t.packed }

// Lengths are those of value and place.
func (t Taken) Lengths() (value, place int) { return t.value, t.place }

// QueueReturn puts an item back that QueueTake gave, as if it had not been
// taken: to its place, also past the bound on the queue's length and after the
// queue was shut down. Here and below a failure breaks the transaction, so
// that it does not commit the taking alone.
func QueueReturn(tx *object.Tx, o *object.Object, t Taken) error {
	state, err := tx.State(o)
	if err != nil {
		return tx.Fail(err)
	}
	if err := putAt(tx, o, t.Place(), t.Own(), t.Value()); err != nil {
		return err
	}
	searched := state.Flags&(object.FlagLifo|object.FlagRanked|object.FlagLeases) != 0
	gap := !searched && keys.Position(t.Place()) != state.Next-state.Length-1
	tx.Alter(o, func(s *object.State) {
		if gap { // others took what came after it: from now on items are looked for
			withLeases(s)
		}
		s.Length++
		// It counts as it did, unless others said too often that they were done.
		s.Pending = max(s.Pending, s.Length+s.Leased)
	})
	return nil
}

// putAt stores an item of a queue at the place where it was.
func putAt(tx *object.Tx, o *object.Object, place, own, value []byte) error {
	if _, err := tx.PutEntry(append(bytes.Clone(o.Prefix), place...), own, value); err != nil {
		return tx.Fail(err)
	}
	return nil
}

// ArrayReturn puts an item back that ArrayPop gave: in front of the first one,
// or behind the last one. No item gives way to it, so that an array may be over
// its bound by it until the next one is appended.
func ArrayReturn(tx *object.Tx, o *object.Object, t Taken, last bool) error {
	state, err := tx.State(o)
	if err != nil {
		return tx.Fail(err)
	}
	position, next := state.Next, state.Next+1
	if !last {
		if state.Next == state.Length {
			return tx.Fail(errs.New(errs.Corrupt, "put back", o.Name, "there is no place in front of its first item; check the namespace"))
		}
		position, next = state.Next-state.Length-1, state.Next
	}
	if _, err := tx.PutEntry(tx.ItemKey(o, keys.TagItem, position), nil, t.Value()); err != nil {
		return tx.Fail(err)
	}
	tx.Moved(o, 1, next, 0)
	return nil
}

// DictReturn puts an entry back that DictPop or DictPopItem gave, with its own
// key and its end. What others have stored under the key stays, and nothing is
// put back that has ended. In a dict with a limit it counts as just stored, and
// is refused as that is.
func DictReturn(tx *object.Tx, o *object.Object, t Taken) error {
	c, err := newCached(tx, o)
	if err != nil {
		return tx.Fail(err)
	}
	dbkey := append(bytes.Clone(o.Prefix), t.Place()...)
	shortened := keys.Shortened(dbkey)
	if t.Due != 0 && t.Due <= tx.Now() {
		return nil
	}
	if t.Due != 0 || c.state.Flags&object.FlagCache != 0 {
		old, err := c.look(dbkey)
		switch {
		case errs.Has(err, errs.Corrupt), err == nil && old.alive:
			return nil
		case err == nil:
			err = c.put(old, t.Own(), t.Due, shortened, t.Value())
		}
		if err != nil {
			return tx.Fail(err)
		}
		return nil
	}
	_, err = tx.Get(dbkey)
	if err == store.ErrNotFound {
		err = put(tx, o, dbkey, t.Own(), shortened, t.Value())
	}
	if err != nil {
		return tx.Fail(err)
	}
	return nil
}
