package coll

import (
	"bytes"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

const (
	// sweepBatch is how many entries that have ended one transaction removes.
	sweepBatch = 256
	// sweepBeside is how many a write removes beside its own work.
	sweepBeside = 8
)

// ended reports whether a record that Open took apart is of an entry that has
// ended by now.
func ended(flags byte, record, value []byte, now func() int64) bool {
	return flags&keys.FlagExpiry != 0 && keys.StampsOf(flags, record, value).Due <= now()
}

// endedBefore is the part of the index that is due at a time.
func endedBefore(o *object.Object, now int64) store.Range {
	begin := keys.AppendTag(nil, o.Prefix, keys.TagExpiry)
	return store.Range{Lo: begin, Hi: append(bytes.Clone(begin), beUint64(uint64(now)+1)...)}
}

func expiryKey(o *object.Object, due int64, stored []byte) []byte {
	// A key too long is shortened; the payload has all of the stored one.
	key, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagExpiry, append(beUint64(uint64(due)), stored...))
	return key
}

func (c *cached) unlistEnd(stored []byte, due int64) error {
	if due == 0 {
		return nil
	}
	_, err := c.tx.Del(expiryKey(c.o, due, stored))
	return err
}

// anyEnded reports whether entries of the dict may have ended and not been
// removed.
func anyEnded(tx *object.Tx, state *object.State) bool {
	return state.Flags&object.FlagCache != 0 && state.Due != 0 && state.Due <= tx.Now()
}

// sweep removes entries that have ended, at most limit of them, but not the one
// of a key that is to be stored; more says that it stopped at the limit.
func (c *cached) sweep(limit int, but ...[]byte) (n int, more bool, err error) {
	if !anyEnded(c.tx, c.state) {
		return 0, false, nil
	}
	due := make([]store.Entry, limit+len(but))
	found, err := c.tx.Scan(endedBefore(c.o, c.tx.Now()), due)
	if err != nil {
		return 0, false, err
	}
	for i := range due[:found] { // what follows writes
		due[i] = store.Entry{Key: bytes.Clone(due[i].Key), Value: bytes.Clone(due[i].Value)}
	}
	kept := 0
	for _, listed := range due[:found] {
		stored, err := keys.OpenPayload(listed.Key, listed.Value)
		if err == nil {
			dbkey := keys.AppendStoredKey(nil, c.o.Prefix, keys.TagDict, stored)
			if len(but) > 0 && bytes.Equal(but[0], dbkey) {
				kept++
				continue
			}
			e, err := c.look(dbkey)
			if err != nil && !errs.Has(err, errs.Corrupt) {
				return n, false, err
			}
			if err == nil && e.there && !e.alive {
				if err := c.remove(e); err != nil {
					return n, false, err
				}
				n++
			}
		}
		if _, err := c.tx.Del(listed.Key); err != nil {
			return n, false, err
		}
	}
	first, err := c.firstDue()
	if err != nil {
		return n, false, err
	}
	c.tx.Kept(c.o, first, c.state.Bytes, c.state.Next)
	return n, found-kept > 0 && anyEnded(c.tx, c.state), nil
}

// firstDue is when the next entry ends, by the index; 0 for never.
func (c *cached) firstDue() (int64, error) {
	r := store.Prefix(keys.AppendTag(nil, c.o.Prefix, keys.TagExpiry))
	r.KeysOnly = true
	var one [1]store.Entry
	n, err := c.tx.Scan(r, one[:])
	if err != nil || n == 0 {
		return 0, err
	}
	return int64(keys.LeadingNumber(one[0].Key[len(c.o.Prefix)+1:])), nil
}

// DictSweep removes entries that have ended, a bounded number of them, and
// returns how many; more says that there are others.
func DictSweep(tx *object.Tx, o *object.Object) (n int, more bool, err error) {
	c, err := newCached(tx, o)
	if err != nil {
		return 0, false, err
	}
	if n, more, err = c.sweep(sweepBatch); err != nil {
		return n, more, tx.Fail(err)
	}
	return n, more, nil
}

// DictLen is how many entries the dict has. Those that have ended and were not
// removed yet are in the state's length, and counted here by their index.
func DictLen(tx *object.Tx, o *object.Object) (uint64, error) {
	state, err := tx.State(o)
	if err != nil || !anyEnded(tx, state) {
		if err != nil {
			return 0, err
		}
		return state.Length, nil
	}
	r := endedBefore(o, tx.Now())
	r.KeysOnly = true
	over := uint64(0)
	for batch := make([]store.Entry, sweepBatch); ; {
		n, err := tx.Scan(r, batch)
		if err != nil {
			return 0, err
		}
		over += uint64(n)
		if n < len(batch) {
			return state.Length - min(over, state.Length), nil
		}
		r = r.Rest(batch[n-1].Key)
	}
}
