package coll

import (
	"bytes"
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
		first := &entries[b.order[i]]
		last := first
		for i++; i < len(b.order) && bytes.Equal(entries[b.order[i]].Key, first.Key); i++ {
			last = &entries[b.order[i]]
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
	order   []int32 // indices of the entries, by key and then by index
	bytes   []byte  // keys and records of entries
	entries []store.Entry
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

func (b *batch) sort(entries []DictEntry) {
	sorted := true
	for i := range entries {
		b.order = append(b.order, int32(i))
		sorted = sorted && (i == 0 || bytes.Compare(entries[i-1].Key, entries[i].Key) <= 0)
	}
	if sorted {
		return
	}
	slices.SortFunc(b.order, func(i, j int32) int {
		if c := bytes.Compare(entries[i].Key, entries[j].Key); c != 0 {
			return c
		}
		return int(i - j)
	})
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
