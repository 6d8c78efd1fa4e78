package coll

import (
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// Slice names items of an array as Python's slices do: by indices, from the
// end if negative, Step of them apart. What lies outside of the array is cut
// off. Step is not zero.
type Slice struct{ Start, Stop, Step int64 }

// Everything is the slice of all items.
var Everything = Slice{Stop: 1<<63 - 1, Step: 1}

// within is the first index of the slice in an array of this length, and how
// many items it names.
func (s Slice) within(length int64) (first, count int64) {
	start, stop := cut(s.Start, length, s.Step), cut(s.Stop, length, s.Step)
	switch {
	case s.Step > 0 && start < stop:
		return start, (stop-start-1)/s.Step + 1
	case s.Step < 0 && stop < start:
		return start, (start-stop-1)/-s.Step + 1
	}
	return 0, 0
}

func cut(index, length, step int64) int64 {
	lowest, highest := int64(0), length
	if step < 0 {
		lowest, highest = -1, length-1
	}
	if index < 0 {
		if index < -length {
			return lowest
		}
		index += length
	}
	return max(lowest, min(index, highest))
}

// NewArrayCursor makes a cursor over a slice of an array; for tx see
// newCursor.
func NewArrayCursor(o *object.Object, tx *object.Tx, s Slice) (*Cursor, error) {
	if s.Step == 0 || s.Step == -1<<63 {
		return nil, errs.New(errs.InvalidArgument, "slice array", o.Name, "the step of a slice is not zero")
	}
	return newCursor(o, tx, &arraySource{o: o, slice: s})
}

// NewArrayTail makes a cursor over the items from a position on; of those that
// are gone, the array has nothing to say. next is the position behind the last
// of them, which can be below position where items were popped. For tx see
// newCursor.
func NewArrayTail(o *object.Object, tx *object.Tx, position uint64) (c *Cursor, next uint64, err error) {
	tail := &arraySource{o: o, slice: Everything, tail: true, position: position}
	if c, err = newCursor(o, tx, tail); err != nil {
		return nil, 0, err
	}
	if !tail.begun { // else it was drained by newCursor
		if err := tail.begin(c.tx); err != nil {
			c.Close()
			return nil, 0, err
		}
	}
	return c, tail.next, nil
}

// ArrayWait waits until the position of the next item differs from position;
// errs.Timeout when the wait runs out. A negative timeout is no bound.
func ArrayWait(o *object.Object, wait store.Wait, position uint64) error {
	over := errs.New(errs.Timeout, "wait for items", o.Name, "none was appended in time")
	return whenever(o, wait, over, false, func(state *object.State) bool { return state.Next != position }, nil)
}

// ArraySliceLength is how many items a slice of the array names.
func ArraySliceLength(state *object.State, s Slice) int64 {
	_, count := s.within(int64(state.Length))
	return count
}

// arraySource reads a slice of an array.
type arraySource struct {
	o        *object.Object
	slice    Slice
	tail     bool // from position on, instead of slice
	begun    bool
	position uint64 // of the next item to be read
	left     int64
	next     uint64 // that of the item that comes after the last one
	entries  []store.Entry
	keys     [][]byte
	records  [][]byte
}

func (a *arraySource) fill(tx *object.Tx, packed []byte) (_ []byte, ended bool, err error) {
	if !a.begun {
		if err := a.begin(tx); err != nil {
			return packed, false, err
		}
	}
	n := int(min(a.left, cursorEntries))
	if n == 0 {
		return packed, true, nil
	}
	if cap(a.entries) < n {
		a.entries = make([]store.Entry, n)
	}
	entries := a.entries[:n]
	defer clear(entries)
	if err := a.read(tx, entries); err != nil {
		return packed, false, err
	}
	for i := range entries {
		if i > 0 && len(packed) >= cursorBytes {
			break
		}
		_, _, value, err := keys.Open(entries[i].Key, entries[i].Value)
		if err != nil {
			return packed, false, err
		}
		packed = AppendPacked(packed, DictEntry{Value: value})
		a.position += uint64(a.slice.Step)
		a.left--
	}
	return packed, a.left == 0, nil
}

// begin finds out which items there are to be read.
func (a *arraySource) begin(tx *object.Tx) error {
	state, err := tx.State(a.o)
	if err != nil {
		return err
	}
	lowest := state.Next - state.Length
	if a.tail {
		a.position = min(max(a.position, lowest), state.Next)
		a.left = int64(state.Next - a.position)
	} else {
		first, count := a.slice.within(int64(state.Length))
		a.position, a.left = lowest+uint64(first), count
	}
	a.next, a.begun = state.Next, true
	return nil
}

// read fills entries with the next items.
func (a *arraySource) read(tx *object.Tx, entries []store.Entry) error {
	n, step := len(entries), uint64(a.slice.Step)
	if a.slice.Step == 1 || a.slice.Step == -1 {
		lo, hi := a.position, a.position+uint64(n)
		if a.slice.Step < 0 {
			lo, hi = a.position-uint64(n-1), a.position+1
		}
		r := itemRange(a.o, lo, hi)
		r.Reverse = a.slice.Step < 0
		found, err := tx.Scan(r, entries)
		if err != nil {
			return err
		}
		for i := range n {
			if i >= found || keys.Position(entries[i].Key) != a.position+uint64(i)*step {
				return lost(keys.AppendItemKey(nil, a.o.Prefix, keys.TagItem, a.position+uint64(i)*step))
			}
		}
		return nil
	}
	a.keys, a.records = a.keys[:0], append(a.records[:0], make([][]byte, n)...)
	for i := range n {
		a.keys = append(a.keys, keys.AppendItemKey(nil, a.o.Prefix, keys.TagItem, a.position+uint64(i)*step))
	}
	if err := tx.GetMany(a.keys, a.records); err != nil {
		return err
	}
	for i, record := range a.records {
		if record == nil {
			return lost(a.keys[i])
		}
		entries[i] = store.Entry{Key: a.keys[i], Value: record}
	}
	clear(a.records)
	return nil
}
