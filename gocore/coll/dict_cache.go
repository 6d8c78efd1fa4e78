package coll

import (
	"bytes"
	"encoding/binary"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// A dict is a cache (object.FlagCache) once an entry of it was given an end,
// or where its size has a limit. Beside its entries it then has indexes, which
// each write keeps in step with them:
//
//	TagExpiry  due time, 8 BE, stored key -> stored key
//	TagUse     00, ticket, 8 BE           -> time of the last use, 8 BE, stored key
//	TagUse     01, time, ticket, 8 BE each -> nothing
//
// The second and third are of dicts with a limit and a kind of eviction. A
// ticket names an entry for as long as it is there, so that noting a use
// rewrites no value.
//
// An index entry that does not agree with the entry it leads to (of which the
// record was damaged, and stored again) means nothing and is removed when it is
// come across.

// Kinds of eviction, as State.Eviction has them. The numbers are stored.
const (
	EvictNone   uint64 = iota // what exceeds a limit is refused
	EvictUsed                 // the least recently used entries give way
	EvictStored               // the least recently stored ones
)

// noteUse is the bit of a ticket that tells a reader to note the use.
const noteUse uint64 = 1 << 63

// DictLimit makes a dict, which must be empty, one of at most so many entries
// and bytes; 0 is no bound.
func DictLimit(tx *object.Tx, o *object.Object, entries, size, eviction uint64) error {
	if eviction > EvictStored || entries == 0 && size == 0 {
		return errs.New(errs.InvalidArgument, "limit dict", o.Name, "a limit is a number of entries or of bytes, with a kind of eviction that is known")
	}
	return tx.SetCache(o, entries, size, eviction)
}

// cached is one write to a dict that is a cache.
type cached struct {
	tx    *object.Tx
	o     *object.Object
	state *object.State // follows what the transaction does
}

// entry is what is stored under a key.
type cachedEntry struct {
	dbkey  []byte // the caller's
	there  bool   // there is a record, though it may have ended, or be damaged
	alive  bool
	flags  byte
	own    []byte // alias the store
	value  []byte
	stamps keys.Stamps
	size   uint64
}

func (c *cached) look(dbkey []byte) (e cachedEntry, err error) {
	e.dbkey = dbkey
	record, err := c.tx.Get(dbkey)
	if err == store.ErrNotFound {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	e.there, e.size = true, c.sizeOf(dbkey, len(record))
	if e.flags, e.own, e.value, err = keys.Open(dbkey, record); err != nil {
		return e, err
	}
	e.stamps = keys.StampsOf(e.flags, record, e.value)
	e.alive = e.stamps.Due == 0 || e.stamps.Due > c.tx.Now()
	return e, nil
}

// sizeOf is what an entry counts for in State.Bytes.
func (c *cached) sizeOf(dbkey []byte, record int) uint64 {
	return uint64(len(dbkey) - len(c.o.Prefix) - 1 + record)
}

func (c *cached) stored(dbkey []byte) []byte { return dbkey[len(c.o.Prefix)+1:] }

func (c *cached) limited() bool { return c.state.Limit > 0 || c.state.MostBytes > 0 }

// put stores an entry with an end, 0 for none. old is what look said of it.
func (c *cached) put(old cachedEntry, own []byte, due int64, shortened bool, value ...[]byte) error {
	if due != 0 && c.state.Flags&object.FlagCache == 0 {
		c.tx.SetFlags(c.o, object.FlagCache, 0)
	}
	stamps := keys.Stamps{Due: due, Ticket: old.stamps.Ticket}
	evicts := c.limited() && c.state.Eviction != EvictNone
	next := c.state.Next
	if evicts && stamps.Ticket == 0 {
		next++
		stamps.Ticket = next
		if c.state.Eviction == EvictUsed {
			stamps.Ticket |= noteUse
		}
	}
	var room [16]byte
	head, flags := stamps.Append(room[:0])
	length := len(head)
	for _, part := range value {
		length += len(part)
	}
	size := c.sizeOf(old.dbkey, keys.SealSize(len(own), length))
	if err := c.makeRoom(&old, size); err != nil {
		return err
	}
	// From here on a failure leaves the entry and its indexes half done.
	fresh, err := c.tx.PutStamped(old.dbkey, flags, own, append([][]byte{head}, value...)...)
	if err == nil {
		err = c.list(old, stamps, fresh)
	}
	if err != nil {
		return c.tx.Fail(err)
	}
	if len(own) > 0 && !shortened {
		c.tx.SetFlags(c.o, object.FlagOwnKeys, 0)
	}
	if fresh {
		c.tx.Changed(c.o, 1)
	} else {
		c.tx.Changed(c.o, 0)
	}
	total, first := c.state.Bytes, c.state.Due
	if c.limited() {
		total += size - old.size
	}
	if due != 0 && (first == 0 || due < first) {
		first = due
	}
	c.tx.Kept(c.o, first, total, next)
	if c.tx.Implicit() {
		if _, _, err := c.sweep(sweepBeside); err != nil {
			return c.tx.Fail(err)
		}
	}
	return nil
}

// list brings the indexes in step with an entry that was stored.
func (c *cached) list(old cachedEntry, stamps keys.Stamps, fresh bool) error {
	stored := c.stored(old.dbkey)
	if old.stamps.Due != stamps.Due {
		if err := c.unlistEnd(stored, old.stamps.Due); err != nil {
			return err
		}
		if stamps.Due != 0 {
			key := expiryKey(c.o, stamps.Due, stored)
			if _, err := c.tx.Put(key, keys.SealPayload(key, stored)); err != nil {
				return err
			}
		}
	}
	switch {
	case stamps.Ticket == 0:
		return nil
	case old.stamps.Ticket == stamps.Ticket:
		return c.used(stamps.Ticket, attendantOf(c.o).stamp())
	}
	return c.listUse(stamps.Ticket, attendantOf(c.o).stamp(), stored)
}

// remove removes an entry and what the indexes have of it.
func (c *cached) remove(e cachedEntry) error {
	if _, err := c.tx.Del(e.dbkey); err != nil {
		return err
	}
	stored := c.stored(e.dbkey)
	if err := c.unlistEnd(stored, e.stamps.Due); err != nil {
		return c.tx.Fail(err)
	}
	if err := c.unlistUse(e.stamps.Ticket); err != nil {
		return c.tx.Fail(err)
	}
	c.tx.Changed(c.o, -1)
	if c.limited() {
		c.tx.Kept(c.o, c.state.Due, c.state.Bytes-min(e.size, c.state.Bytes), c.state.Next)
	}
	return nil
}

// makeRoom has entries give way to one of a size that is to be stored: what
// has ended first, then what the kind of eviction says.
func (c *cached) makeRoom(old *cachedEntry, size uint64) error {
	if !c.limited() {
		return nil
	}
	if c.state.MostBytes > 0 && size > c.state.MostBytes {
		return errs.Newf(errs.TooBig, "write dict", c.o.Name,
			"the entry takes %d bytes, and the dict may take %d in all; raise its max_bytes, or store less", size, c.state.MostBytes)
	}
	fits := func() bool {
		length, total := c.state.Length, c.state.Bytes+size-old.size
		if !old.there {
			length++
		}
		return (c.state.Limit == 0 || length <= c.state.Limit) && (c.state.MostBytes == 0 || total <= c.state.MostBytes)
	}
	if fits() {
		return nil
	}
	if old.stamps.Ticket != 0 { // it is to stay: the youngest gives way last
		if err := c.used(old.stamps.Ticket, attendantOf(c.o).stamp()); err != nil {
			return c.tx.Fail(err)
		}
	}
	for !fits() {
		n, more, err := c.sweep(sweepBatch, old.dbkey)
		if err != nil {
			return c.tx.Fail(err)
		}
		if n == 0 && !more {
			break
		}
	}
	if fits() {
		return nil
	}
	if c.state.Eviction == EvictNone {
		return errs.Newf(errs.Full, "write dict", c.o.Name,
			"the dict holds as much as it may (%d entries, %d bytes); remove entries first, or make it with a kind of eviction", c.state.Length, c.state.Bytes)
	}
	if err := c.noteUses(); err != nil {
		return c.tx.Fail(err)
	}
	for !fits() {
		if err := c.evict(); err != nil {
			return c.tx.Fail(err)
		}
	}
	return nil
}

func beUint64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func newCached(tx *object.Tx, o *object.Object) (*cached, error) {
	state, err := tx.State(o)
	if err != nil {
		return nil, err
	}
	return &cached{tx, o, state}, nil
}

// Ways of DictStore.
type StoreHow int

const (
	StoreSet  StoreHow = iota // whatever is there
	StoreAdd                  // only where the key is not there
	StoreKeep                 // as Set, with the end that the entry has, if it is there
	StoreEnd                  // as Set, and the end of this process's claim
)

// DictStore is DictSet with an end: due is a time in ns since 1970, 0 for none.
// It reports whether it stored the entry.
func DictStore(tx *object.Tx, o *object.Object, e DictEntry, due int64, how StoreHow) (bool, error) {
	if how == StoreEnd {
		if err := DictUnclaim(tx, o, e.Key); err != nil {
			return false, err
		}
	}
	return storeCached(tx, o, e, due, how, e.Head, e.Value)
}

func storeCached(tx *object.Tx, o *object.Object, e DictEntry, due int64, how StoreHow, value ...[]byte) (bool, error) {
	c, err := newCached(tx, o)
	if err != nil {
		return false, err
	}
	scratch, shortened := tx.EntryKey(o, keys.TagDict, e.Key)
	dbkey := bytes.Clone(scratch)
	old, err := c.look(dbkey)
	if err != nil && !errs.Has(err, errs.Corrupt) { // storing it again heals it
		return false, err
	}
	own := e.Own
	if old.alive {
		if how == StoreAdd {
			return false, nil
		}
		if how == StoreKeep {
			due = old.stamps.Due
		}
		own = bytes.Clone(old.own)
	}
	return true, c.put(old, keys.OwnKey(own, e.Key, shortened), due, shortened, value...)
}

func insertCached(tx *object.Tx, o *object.Object, scratch, key, own []byte, value ...[]byte) (existing []byte, err error) {
	c, err := newCached(tx, o)
	if err != nil {
		return nil, err
	}
	dbkey := bytes.Clone(scratch)
	old, err := c.look(dbkey)
	if err != nil {
		return nil, err
	}
	if old.alive {
		return old.value, nil
	}
	shortened := keys.Shortened(dbkey)
	return nil, c.put(old, keys.OwnKey(own, key, shortened), 0, shortened, value...)
}

// removeCached removes an entry; store.ErrNotFound where there is none that has
// not ended.
func removeCached(tx *object.Tx, o *object.Object, state *object.State, dbkey []byte) error {
	c := &cached{tx, o, state}
	e, err := c.look(dbkey)
	if err != nil && !errs.Has(err, errs.Corrupt) {
		return err
	}
	if !e.there || err == nil && !e.alive {
		return store.ErrNotFound
	}
	return c.remove(e)
}

// clearCached removes the indexes of a dict whose entries are gone.
func clearCached(tx *object.Tx, o *object.Object, state *object.State) error {
	for _, tag := range []byte{keys.TagExpiry, keys.TagUse} {
		if _, err := tx.DelRange(store.Prefix(keys.AppendTag(nil, o.Prefix, tag))); err != nil {
			return err
		}
	}
	tx.Kept(o, 0, 0, state.Next)
	return nil
}

// DictTouch gives an entry another end, 0 for none; store.ErrNotFound when it
// is not there. Its value is copied: the record is one.
func DictTouch(tx *object.Tx, o *object.Object, key []byte, due int64) error {
	c, err := newCached(tx, o)
	if err != nil {
		return err
	}
	scratch, shortened := tx.EntryKey(o, keys.TagDict, key)
	dbkey := bytes.Clone(scratch)
	old, err := c.look(dbkey)
	if err != nil {
		return err
	}
	if !old.alive {
		return store.ErrNotFound
	}
	return c.put(old, bytes.Clone(old.own), due, shortened, bytes.Clone(old.value))
}

// DictDue is the end of an entry, in ns since 1970, 0 for none;
// store.ErrNotFound when it is not there.
func DictDue(tx *object.Tx, o *object.Object, key []byte) (int64, error) {
	c, err := newCached(tx, o)
	if err != nil {
		return 0, err
	}
	dbkey, _ := tx.EntryKey(o, keys.TagDict, key)
	e, err := c.look(dbkey)
	if err == nil && !e.alive {
		err = store.ErrNotFound
	}
	return e.stamps.Due, err
}

// DictVolume is how many bytes the entries take, keys and records; of a dict
// without a limit they are counted one by one.
func DictVolume(tx *object.Tx, o *object.Object) (total uint64, err error) {
	c, err := newCached(tx, o)
	if err != nil {
		return 0, err
	}
	if c.limited() {
		return c.state.Bytes, nil
	}
	r := store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagDict))
	for batch := make([]store.Entry, cursorEntries); ; {
		n, err := tx.Scan(r, batch)
		if err != nil {
			return 0, err
		}
		for _, e := range batch[:n] {
			total += c.sizeOf(e.Key, len(e.Value))
		}
		if n < len(batch) {
			return total, nil
		}
		r = r.Rest(batch[n-1].Key)
	}
}
