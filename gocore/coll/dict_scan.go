package coll

import (
	"bytes"
	"sync"

	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// KeyRange is a part of a dict, in the order of its keys or in reverse. Lo
// and Hi are encoded keys, none where they are empty, and belong to the range
// unless LoOpen or HiOpen. Among keys too long to be stored whole, and
// between them and a bound as long, the order is fixed but has no meaning.
type KeyRange struct {
	Lo, Hi         []byte
	LoOpen, HiOpen bool
	Reverse        bool
	// KeysOnly leaves out the values, and does not check them.
	KeysOnly bool
	// After goes on behind an entry: its Key, as a scan gave it.
	After []byte
}

// maxKeptEntries bounds what one odd large scan leaves in memory.
const maxKeptEntries = 4096

// entryBuffers hold what the store returns until it is taken apart.
var entryBuffers = sync.Pool{New: func() any { return new([]store.Entry) }}

// DictScan fills dst with the first entries of the range and returns how
// many; fewer than len(dst) means that the range is at its end. Entries alias
// the store: they are valid until the transaction writes or ends. A damaged
// entry is errs.Corrupt; n counts those before it.
func DictScan(tx *object.Tx, o *object.Object, r KeyRange, dst []DictEntry) (n int, err error) {
	state, err := tx.State(o)
	if err != nil || len(dst) == 0 {
		return 0, err
	}
	if !anyEnded(tx, state) {
		n, _, err = scan(tx, o, state, r, dst, nil)
		return n, err
	}
	// What has ended is left out, so that it takes several scans to fill dst.
	for n < len(dst) {
		found, last, err := scan(tx, o, state, r, dst[n:], tx.Now)
		for _, e := range dst[n : n+found] {
			if e.Key != nil {
				dst[n] = e
				n++
			}
		}
		if err != nil || last == nil {
			return n, err
		}
		r.After = last
	}
	return n, nil
}

// scan is one scan. With a clock, entries that have ended have no Key. last is
// the key of the last entry, a copy, nil where the range is at its end.
func scan(tx *object.Tx, o *object.Object, state *object.State, r KeyRange, dst []DictEntry, now func() int64) (n int, last []byte, err error) {
	// Keys are in the database keys alone, unless some entry has its own.
	bare := r.KeysOnly && state.Flags&object.FlagOwnKeys == 0 && now == nil
	begin := len(o.Prefix) + 1

	buffer := entryBuffers.Get().(*[]store.Entry)
	entries := *buffer
	if cap(entries) < len(dst) {
		entries = make([]store.Entry, len(dst))
	}
	entries = entries[:len(dst)]
	defer func() {
		clear(entries)
		if cap(entries) <= maxKeptEntries {
			*buffer = entries
		}
		entryBuffers.Put(buffer)
	}()

	found, err := tx.Scan(r.stored(o, bare), entries)
	if err != nil {
		return 0, nil, err
	}
	for i := range entries[:found] {
		e := &entries[i]
		dst[i] = DictEntry{Key: e.Key[begin:]}
		if bare {
			if !keys.Shortened(e.Key) {
				continue
			}
			if e.Value, err = tx.Get(e.Key); err != nil {
				return i, nil, err
			}
		}
		var flags byte
		if flags, dst[i].Own, dst[i].Value, err = keys.Open(e.Key, e.Value); err != nil {
			return i, nil, err
		}
		if now != nil && ended(flags, e.Value, dst[i].Value, now) {
			dst[i].Key = nil
		}
		if r.KeysOnly {
			dst[i].Value = nil
		}
	}
	if now != nil && found == len(dst) {
		last = bytes.Clone(entries[found-1].Key[begin:])
	}
	return found, last, nil
}

// stored is the range of database keys.
func (r KeyRange) stored(o *object.Object, keysOnly bool) store.Range {
	all := store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagDict))
	all.Reverse, all.KeysOnly = r.Reverse, keysOnly
	if len(r.Lo) > 0 {
		all.Lo = bound(o, r.Lo, r.LoOpen)
	}
	if len(r.Hi) > 0 {
		all.Hi = bound(o, r.Hi, !r.HiOpen)
	}
	if len(r.After) > 0 {
		all = all.Rest(keys.AppendStoredKey(nil, o.Prefix, keys.TagDict, r.After))
	}
	return all
}

// bound is the database key of an encoded key, or the very next one.
func bound(o *object.Object, encoded []byte, next bool) []byte {
	dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagDict, encoded)
	if next {
		dbkey = append(dbkey, 0)
	}
	return dbkey
}
