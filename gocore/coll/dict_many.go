package coll

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

const (
	// sortedFrom is how many entries are worth sorting: a tree takes
	// ascending keys faster, and fills its pages better.
	sortedFrom = 17
	// batchEntries and batchBytes bound what is handed to the store at once.
	batchEntries = 512
	batchBytes   = 256 << 10
	// largeValue is from where a copy costs more than a call of its own.
	largeValue = 16 << 10
)

// DictSetMany is DictSet for several entries. Of equal keys the last value
// counts, with the key as it was first given. After an error the dict may hold
// some of the entries, and then the transaction refuses to commit them.
func DictSetMany(tx *object.Tx, o *object.Object, entries []DictEntry) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	if len(entries) < sortedFrom || state.Flags&object.FlagCache != 0 {
		for i, e := range entries {
			if err := DictSet(tx, o, e.Key, e.Own, e.Head, e.Value); err != nil {
				if i > 0 {
					return tx.Fail(err)
				}
				return err
			}
		}
		return nil
	}
	b := batches.Get().(*batch)
	defer b.release()
	b.begin(tx, o, state)
	b.sort(entries)
	for i := 0; i < len(b.order); {
		first := &entries[b.order[i].index]
		last := first
		for i++; i < len(b.order) && bytes.Equal(entries[b.order[i].index].Key, first.Key); i++ {
			last = &entries[b.order[i].index]
		}
		if err := b.add(first.Key, first.Own, last.Head, last.Value); err != nil {
			return tx.Fail(err)
		}
	}
	if err := b.flush(); err != nil {
		return tx.Fail(err)
	}
	return nil
}

// batch collects records that are ready to be stored.
type batch struct {
	tx      *object.Tx
	o       *object.Object
	state   *object.State
	order   []place // of the entries, by key and then by index
	bytes   []byte  // keys and records of entries
	entries []store.Entry
}

// place is the index of an entry and the first bytes of its key behind those
// that all keys have: keys mostly differ there, and numbers are compared in a
// third of the time that keys are.
type place struct {
	index int32
	first uint64
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func (b *batch) begin(tx *object.Tx, o *object.Object, state *object.State) {
	b.tx, b.o, b.state = tx, o, state
}

func (b *batch) release() {
	b.tx, b.o, b.state = nil, nil, nil
	clear(b.entries)
	b.order, b.bytes, b.entries = b.order[:0], b.bytes[:0], b.entries[:0]
	batches.Put(b)
}

// sort puts the entries in the order of their keys, those of one key in the
// order in which they came.
func (b *batch) sort(entries []DictEntry) {
	common, sorted := len(entries[0].Key), true
	for i := range entries[1:] {
		before, key := entries[i].Key, entries[i+1].Key
		at := agreeing(before, key, common)
		common = min(common, at)
		sorted = sorted && bytes.Compare(before[at:], key[at:]) <= 0
	}
	for i := range entries {
		b.order = append(b.order, place{int32(i), 0})
	}
	if sorted {
		return
	}
	for i := range b.order {
		b.order[i].first = firstBytes(entries[i].Key[common:])
	}
	slices.SortFunc(b.order, func(x, y place) int {
		if x.first != y.first {
			if x.first < y.first {
				return -1
			}
			return 1
		}
		if c := bytes.Compare(entries[x.index].Key, entries[y.index].Key); c != 0 {
			return c
		}
		return int(x.index - y.index)
	})
}

// agreeing is how many bytes two keys have in common at their beginning, if
// that is less than most.
func agreeing(a, b []byte, most int) int {
	n := min(len(a), len(b), most)
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// firstBytes is a number that sorts as the first eight bytes do; zeros stand
// for those that are missing.
func firstBytes(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var padded [8]byte
	copy(padded[:], key)
	return binary.BigEndian.Uint64(padded[:])
}

func (b *batch) add(key, own, head, value []byte) error {
	dbkey, shortened := b.tx.EntryKey(b.o, keys.TagDict, key)
	if looks(b.state, own, shortened) {
		record, err := b.tx.Get(dbkey)
		switch {
		case err == nil:
			own = keptKey(dbkey, record, own)
		case err != store.ErrNotFound:
			return err
		}
	}
	own = keys.OwnKey(own, key, shortened)
	if len(own) > 0 && !shortened {
		// Noted before the batch is stored, so that a later one looks.
		b.tx.SetFlags(b.o, object.FlagOwnKeys, 0)
	}
	return b.store(dbkey, own, shortened, head, value)
}

// store adds a record; dbkey may be the transaction's scratch memory.
func (b *batch) store(dbkey, own []byte, shortened bool, head, value []byte) error {
	size := keys.SealSize(len(own), len(head)+len(value))
	if size > largeValue {
		if err := b.flush(); err != nil {
			return err
		}
		return put(b.tx, b.o, dbkey, own, shortened, head, value)
	}
	if len(b.entries) == batchEntries || len(b.bytes)+len(dbkey)+size > batchBytes {
		// The key outlives the flush: EntryKey's memory is not used by it.
		if err := b.flush(); err != nil {
			return err
		}
	}
	at := len(b.bytes)
	b.bytes = append(b.bytes, dbkey...)
	middle := len(b.bytes)
	b.bytes = slices.Grow(b.bytes, size)[:middle+size]
	stored := b.bytes[at:middle:middle]
	record := b.bytes[middle : middle+size : middle+size]
	keys.Seal(record, stored, 0, own, head, value)
	b.entries = append(b.entries, store.Entry{Key: stored, Value: record})
	return nil
}

func (b *batch) flush() error {
	if len(b.entries) == 0 {
		return nil
	}
	fresh, err := b.tx.PutMany(b.entries)
	if err != nil {
		return err
	}
	b.tx.Changed(b.o, fresh)
	clear(b.entries)
	b.entries, b.bytes = b.entries[:0], b.bytes[:0]
	return nil
}
