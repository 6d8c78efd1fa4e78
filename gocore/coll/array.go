package coll

import (
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// Item is a value to be stored, which may be in two parts.
type Item struct{ Head, Value []byte }

// An array's items have positions without gaps, the last of them before
// State.Next. A position never changes its item but by ArraySet; those that
// ArrayPop gives back are used again, those before the first item are not.

// ArrayGet reads the item at an index, from the end if negative. It aliases
// the store: it is valid until the transaction writes or ends.
// store.ErrNotFound when there are not as many items.
func ArrayGet(tx *object.Tx, o *object.Object, index int64) (value []byte, err error) {
	state, err := tx.State(o)
	if err != nil {
		return nil, err
	}
	position, ok := positionOf(state, index)
	if !ok {
		return nil, store.ErrNotFound
	}
	return item(tx, tx.ItemKey(o, keys.TagItem, position))
}

// ArraySet replaces the item at an index; store.ErrNotFound when there are not
// as many items. value must not alias what the transaction handed out.
func ArraySet(tx *object.Tx, o *object.Object, index int64, value ...[]byte) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	position, ok := positionOf(state, index)
	if !ok {
		return store.ErrNotFound
	}
	if _, err := tx.PutEntry(tx.ItemKey(o, keys.TagItem, position), nil, value...); err != nil {
		return err
	}
	tx.Changed(o, 0)
	return nil
}

// ArrayAppend adds an item at the end; a full array loses its first one.
func ArrayAppend(tx *object.Tx, o *object.Object, value ...[]byte) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	if _, err := tx.PutEntry(tx.ItemKey(o, keys.TagItem, state.Next), nil, value...); err != nil {
		return err
	}
	tx.Moved(o, 1, state.Next+1, 0)
	return shed(tx, o, state)
}

// ArrayExtend adds several items at the end; of more than a bounded array
// holds, the last ones stay.
func ArrayExtend(tx *object.Tx, o *object.Object, items []Item) error {
	state, err := tx.State(o)
	if err != nil || len(items) == 0 {
		return err
	}
	// Those that would be dropped at once still have their positions.
	skipped := 0
	if state.Limit > 0 && uint64(len(items)) > state.Limit {
		skipped = len(items) - int(state.Limit)
		if err := ArrayClear(tx, o); err != nil {
			return err
		}
	}
	if err := storeItems(tx, o, state, state.Next+uint64(skipped), items[skipped:]); err != nil {
		return tx.Fail(err)
	}
	tx.Moved(o, 0, state.Next+uint64(len(items)), 0)
	return shed(tx, o, state)
}

// storeItems stores items at the positions from next on, and counts them.
func storeItems(tx *object.Tx, o *object.Object, state *object.State, next uint64, items []Item) error {
	b := batches.Get().(*batch)
	defer b.release()
	b.begin(tx, o, state)
	for i, item := range items {
		if err := b.store(tx.ItemKey(o, keys.TagItem, next+uint64(i)), nil, false, item.Head, item.Value); err != nil {
			return err
		}
	}
	return b.flush()
}

// ArrayPop removes the first or the last item and returns a copy of it, which
// ArrayReturn puts back; store.ErrNotFound when there is none. A damaged item is errs.Corrupt, and
// stays.
func ArrayPop(tx *object.Tx, o *object.Object, last bool) (Taken, error) {
	state, err := tx.State(o)
	if err != nil {
		return Taken{}, err
	}
	index := int64(0)
	if last {
		index = -1
	}
	position, ok := positionOf(state, index)
	if !ok {
		return Taken{}, store.ErrNotFound
	}
	dbkey := tx.ItemKey(o, keys.TagItem, position)
	value, err := item(tx, dbkey)
	if err != nil {
		return Taken{}, err
	}
	taken := take(value, nil, nil)
	if _, err := tx.Del(dbkey); err != nil {
		return Taken{}, err
	}
	next := state.Next
	if last {
		next--
	}
	tx.Moved(o, -1, next, 0)
	return taken, nil
}

// ArrayClear removes all items. An empty array is not changed by it.
func ArrayClear(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil || state.Length == 0 {
		return err
	}
	if _, err := tx.DelRange(store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagItem))); err != nil {
		return tx.Fail(err)
	}
	tx.Moved(o, -int(state.Length), state.Next, 0)
	return nil
}

// shed removes the first items of an array that holds more than it may.
func shed(tx *object.Tx, o *object.Object, state *object.State) error {
	if state.Limit == 0 || state.Length <= state.Limit {
		return nil
	}
	excess := state.Length - state.Limit
	first := state.Next - state.Length
	if excess == 1 {
		if _, err := tx.Del(tx.ItemKey(o, keys.TagItem, first)); err != nil {
			return tx.Fail(err)
		}
	} else if _, err := tx.DelRange(itemRange(o, first, first+excess)); err != nil {
		return tx.Fail(err)
	}
	tx.Moved(o, -int(excess), state.Next, 0)
	return nil
}

// item reads a record that must be there.
func item(tx *object.Tx, dbkey []byte) (value []byte, err error) {
	record, err := tx.Get(dbkey)
	if err == store.ErrNotFound {
		return nil, lost(dbkey)
	}
	if err == nil {
		err = tx.Affords(record)
	}
	if err != nil {
		return nil, err
	}
	_, _, value, err = keys.Open(dbkey, record)
	return value, err
}

func lost(dbkey []byte) error {
	return errs.New(errs.Corrupt, "read", keys.Describe(dbkey),
		"it is missing, though the length counts it. Check the namespace and restore the object from a backup.")
}

// positionOf is the position of an index, from the end if negative.
func positionOf(state *object.State, index int64) (position uint64, ok bool) {
	if index < 0 {
		back := uint64(-index) // right for the smallest index too
		return state.Next - back, back <= state.Length
	}
	return state.Next - state.Length + uint64(index), uint64(index) < state.Length
}

func itemRange(o *object.Object, lo, hi uint64) store.Range {
	return store.Range{
		Lo: keys.AppendItemKey(nil, o.Prefix, keys.TagItem, lo),
		Hi: keys.AppendItemKey(nil, o.Prefix, keys.TagItem, hi),
	}
}
