// Package coll keeps collections in the entries of objects. Keys and values
// come encoded: what they mean is the caller's business. Lengths and versions
// are kept in the object's state.
package coll

import (
	"bytes"
	"sync"

	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// DictEntry is an entry of a dict. Own is the key as a value, where Key does
// not give it back, else nil. Read from a dict, Key is in stored form: a very
// long key is shortened there, and only Own has all of it. To be written, a
// value may be in two parts, Head and then Value.
type DictEntry struct{ Key, Own, Head, Value []byte }

// DictGet reads the value of a key. It aliases the store: it is valid until
// the transaction writes or ends. store.ErrNotFound when there is no such key,
// errs.ObjectNotFound when there is no such dict.
func DictGet(tx *object.Tx, o *object.Object, key []byte) (value []byte, err error) {
	if err := o.Void(); err != nil {
		return nil, err
	}
	dbkey, _ := tx.EntryKey(o, keys.TagDict, key)
	record, err := tx.Get(dbkey)
	if err != nil {
		return nil, missing(tx, o, err)
	}
	flags, _, value, err := keys.Open(dbkey, record)
	if flags&stamped != 0 {
		if ended(flags, record, value, tx.Now) {
			return nil, store.ErrNotFound
		}
		noted(o, flags, record, value)
	}
	return value, err
}

// stamped are the flags of entries that only a cache has.
const stamped = keys.FlagExpiry | keys.FlagEvictable

// keyBuffers are for database keys outside of a transaction that has room
// for one.
var keyBuffers = sync.Pool{New: func() any { return new([keys.MaxKey]byte) }}

// DictPeek reads the value of a key in a transaction of its own. A record
// that fits into dst's capacity (a value takes keys.EntryOverhead bytes more,
// and as many as its own key has) is copied there and pin is nil. Otherwise
// the value is in place, valid until the caller's pin.Abort. Errors are those
// of DictGet.
func DictPeek(o *object.Object, key, dst []byte, hurried bool) (value []byte, pin store.Txn, err error) {
	if err := o.Void(); err != nil {
		return nil, nil, err
	}
	buffer := keyBuffers.Get().(*[keys.MaxKey]byte)
	defer keyBuffers.Put(buffer)
	dbkey, _ := keys.AppendEntryKey(buffer[:0], o.Prefix, keys.TagDict, key)
	record, pin, err := o.Space.Store().Peek(dbkey, dst)
	if err == nil && hurried {
		if err = object.Brief(record); err != nil && pin != nil {
			pin.Abort()
		}
	}
	if err != nil {
		if err == store.ErrNotFound {
			// Only a miss pays for finding out whether the dict is there.
			if _, gone := o.PeekState(); gone != nil {
				return nil, nil, gone
			}
		}
		return nil, nil, err
	}
	flags, _, value, err := keys.Open(dbkey, record)
	if flags&stamped != 0 {
		err = peeked(o, flags, record, value)
	}
	if err != nil {
		if pin != nil {
			pin.Abort()
		}
		return nil, nil, err
	}
	return value, pin, nil
}

// DictContains reports whether the dict has a key. The value is not looked at.
func DictContains(tx *object.Tx, o *object.Object, key []byte) (bool, error) {
	if err := o.Void(); err != nil {
		return false, err
	}
	dbkey, _ := tx.EntryKey(o, keys.TagDict, key)
	record, err := tx.Get(dbkey)
	if err == nil {
		if keys.FlagsOf(record)&keys.FlagExpiry != 0 {
			flags, _, value, err := keys.Open(dbkey, record)
			return err == nil && !ended(flags, record, value, tx.Now), err
		}
		return true, nil
	}
	if err = missing(tx, o, err); err == store.ErrNotFound {
		return false, nil
	}
	return false, err
}

// DictSet sets the value of a key. An entry that is there keeps the own key
// it has, or has not, as Python's dict keeps the key it was first given. key,
// own and value must not alias what the transaction handed out.
func DictSet(tx *object.Tx, o *object.Object, key, own []byte, value ...[]byte) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	if state.Flags&object.FlagCache != 0 {
		e := DictEntry{Key: key, Own: own}
		_, err := storeCached(tx, o, e, 0, StoreSet, value...)
		return err
	}
	dbkey, shortened := tx.EntryKey(o, keys.TagDict, key)
	if looks(state, own, shortened) {
		record, err := tx.Get(dbkey)
		switch {
		case err == nil:
			own = keptKey(dbkey, record, own)
		case err != store.ErrNotFound:
			return err
		}
	}
	return put(tx, o, dbkey, keys.OwnKey(own, key, shortened), shortened, value...)
}

// DictInsert sets the value of a key that is not there. Where it is, nothing
// changes, and existing is its value (never nil), which aliases the store.
func DictInsert(tx *object.Tx, o *object.Object, key, own []byte, value ...[]byte) (existing []byte, err error) {
	state, err := tx.State(o)
	if err != nil {
		return nil, err
	}
	dbkey, shortened := tx.EntryKey(o, keys.TagDict, key)
	record, err := tx.Get(dbkey)
	switch {
	case state.Flags&object.FlagCache != 0 && (err == nil || err == store.ErrNotFound):
		return insertCached(tx, o, dbkey, key, own, value...)
	case err == nil:
		_, _, existing, err = keys.Open(dbkey, record)
		return existing, err
	case err != store.ErrNotFound:
		return nil, err
	}
	return nil, put(tx, o, dbkey, keys.OwnKey(own, key, shortened), shortened, value...)
}

// DictDel removes a key; store.ErrNotFound when it is not there.
func DictDel(tx *object.Tx, o *object.Object, key []byte) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	dbkey, _ := tx.EntryKey(o, keys.TagDict, key)
	return remove(tx, o, state, dbkey)
}

// DictPop removes a key and returns a copy of what was there, which DictReturn
// puts back; store.ErrNotFound when it is not there. A damaged value is
// errs.Corrupt, and stays.
func DictPop(tx *object.Tx, o *object.Object, key []byte) (Taken, error) {
	state, err := tx.State(o)
	if err != nil {
		return Taken{}, err
	}
	dbkey, _ := tx.EntryKey(o, keys.TagDict, key)
	return takeEntry(tx, o, state, dbkey)
}

// DictPopItem is DictPop of the first or the last key, which is the place that
// it had; store.ErrNotFound when the dict is empty.
func DictPopItem(tx *object.Tx, o *object.Object, last bool) (Taken, error) {
	var one [1]DictEntry
	n, err := DictScan(tx, o, KeyRange{Reverse: last}, one[:])
	if err != nil {
		return Taken{}, err
	}
	if n == 0 {
		return Taken{}, store.ErrNotFound
	}
	state, err := tx.State(o)
	if err != nil {
		return Taken{}, err
	}
	dbkey := keys.AppendStoredKey(nil, o.Prefix, keys.TagDict, one[0].Key)
	if state.Flags&object.FlagCache != 0 {
		return takeEntry(tx, o, state, dbkey) // which has an end, perhaps
	}
	taken := take(one[0].Value, dbkey[len(o.Prefix):], one[0].Own)
	return taken, remove(tx, o, state, dbkey)
}

func takeEntry(tx *object.Tx, o *object.Object, state *object.State, dbkey []byte) (Taken, error) {
	record, err := tx.Get(dbkey)
	if err == nil {
		err = tx.Affords(record)
	}
	if err != nil {
		return Taken{}, err
	}
	flags, own, value, err := keys.Open(dbkey, record)
	if err != nil {
		return Taken{}, err
	}
	if ended(flags, record, value, tx.Now) {
		return Taken{}, store.ErrNotFound
	}
	taken := take(value, dbkey[len(o.Prefix):], own)
	if flags&keys.FlagExpiry != 0 {
		taken.Due = keys.StampsOf(flags, record, value).Due
	}
	return taken, remove(tx, o, state, dbkey)
}

// DictClear removes all entries. An empty dict is not changed by it.
func DictClear(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	n, err := tx.DelRange(store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagDict)))
	if err != nil {
		return tx.Fail(err)
	}
	if n == 0 && state.Length == 0 {
		return nil
	}
	if state.Flags&object.FlagCache != 0 {
		if err := clearCached(tx, o, state); err != nil {
			return tx.Fail(err)
		}
	}
	tx.SetFlags(o, 0, object.FlagOwnKeys)
	tx.Changed(o, -int(state.Length))
	return nil
}

// looks reports whether an entry must be looked at before it is overwritten:
// it, or what replaces it, may hold a key of its own.
func looks(state *object.State, own []byte, shortened bool) bool {
	return len(own) > 0 || shortened || state.Flags&object.FlagOwnKeys != 0
}

// keptKey is a copy of the own key of the entry that is to be overwritten. A
// damaged one gives nothing to keep: setting the value again heals it.
func keptKey(dbkey, record, own []byte) []byte {
	_, kept, _, err := keys.Open(dbkey, record)
	if err != nil {
		return own
	}
	return bytes.Clone(kept)
}

func put(tx *object.Tx, o *object.Object, dbkey, own []byte, shortened bool, value ...[]byte) error {
	fresh, err := tx.PutEntry(dbkey, own, value...)
	if err != nil {
		return err
	}
	if len(own) > 0 && !shortened {
		tx.SetFlags(o, object.FlagOwnKeys, 0)
	}
	if fresh {
		tx.Changed(o, 1)
	} else {
		tx.Changed(o, 0)
	}
	return nil
}

func remove(tx *object.Tx, o *object.Object, state *object.State, dbkey []byte) error {
	if state.Flags&object.FlagCache != 0 {
		return removeCached(tx, o, state, bytes.Clone(dbkey))
	}
	found, err := tx.Del(dbkey)
	if err != nil {
		return err
	}
	if !found {
		return store.ErrNotFound
	}
	tx.Changed(o, -1)
	return nil
}

// missing tells a key that is not there from a dict that is not there.
func missing(tx *object.Tx, o *object.Object, err error) error {
	if err != store.ErrNotFound {
		return err
	}
	if _, gone := tx.State(o); gone != nil {
		return gone
	}
	return err
}
