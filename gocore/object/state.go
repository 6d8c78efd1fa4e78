package object

import "parkit/gocore/keys"

// State is how far an object has come. A *State from a Tx is the
// transaction's own: it follows later changes, is not to be written to, and
// is valid until the transaction ends.
type State struct {
	// Version counts the transactions that changed the object, without the one
	// that created it. It goes up at
	// the commit, so inside a transaction it is still the old one.
	Version uint64
	// Length is the number of the collection's entries; of a file, of its bytes.
	Length uint64
	// Flags holds the Kind in its low byte and the Flag… bits.
	Flags uint32

	// The rest is of sequences (FlagSequence). What it says of files is in
	// files.go of package coll.

	// Next is the position that the next item gets. Positions of an array are
	// without gaps, so that its first item is at Next-Length.
	Next uint64
	// Limit bounds Length; 0 is no bound. What happens at the bound is the
	// collection's affair.
	Limit uint64
	// Pending counts the items of a queue of which nobody has said that they
	// are done with.
	Pending uint64

	// The next three are of queues of which items were leased (FlagLeases).

	// Leased counts the items in somebody's hands, or put back for later.
	// Length does not count them.
	Leased uint64
	// Dead counts the dead letters.
	Dead uint64
	// Attempts is how often an item may be leased; 0 is no bound.
	Attempts uint64

	// The rest is of dicts with FlagCache, of which Next is the next ticket
	// and Limit what Length may be at most, 0 for no bound.

	// Due is a time in ns since 1970 before which no entry ends; 0 where none
	// does.
	Due int64
	// Bytes is what the entries take, MostBytes what they may; 0 is no bound.
	// Without either bound Bytes is not kept.
	Bytes, MostBytes uint64
	// Eviction says which entries give way: the collection's affair.
	Eviction uint64
}

// Bits of State.Flags above the Kind.
const (
	// FlagUnversioned: Version is not counted.
	FlagUnversioned uint32 = 1 << 8
	// FlagOwnKeys: entries of the dict may hold a key of their own. While it
	// is clear a replaced entry need not be looked at first.
	FlagOwnKeys uint32 = 1 << 9
	// FlagSequence: the state has positions.
	FlagSequence uint32 = keys.StateSequence
	// FlagLifo and FlagRanked: the queue gives its newest item first, or the
	// one of the lowest rank.
	FlagLifo   uint32 = 1 << 11
	FlagRanked uint32 = 1 << 12
	// FlagShut: the queue takes no more items.
	FlagShut uint32 = 1 << 13
	// FlagLeases: items of the queue were leased. Those that come back lie
	// where they were, so that positions have gaps.
	FlagLeases uint32 = keys.StateLeases
	// FlagQuick: the queue does not wait where its caller does not say.
	FlagQuick uint32 = 1 << 16

	// FlagCache: entries of the dict may have an end, or its size a limit.
	FlagCache uint32 = keys.StateCache

	// FlagsGiven are those that are given when an object is created.
	FlagsGiven = FlagLifo | FlagRanked | FlagQuick
)

// Kind is the kind that the object was created with.
func (s *State) Kind() Kind { return Kind(s.Flags) }

func (s *State) record() keys.State {
	return keys.State{
		Flags: s.Flags, Version: s.Version, Length: s.Length, Next: s.Next, Limit: s.Limit, Pending: s.Pending,
		Leased: s.Leased, Dead: s.Dead, Attempts: s.Attempts,
		Due: s.Due, Bytes: s.Bytes, MostBytes: s.MostBytes, Eviction: s.Eviction,
	}
}

func stateOf(raw keys.State) State {
	return State{
		Flags: raw.Flags, Version: raw.Version, Length: raw.Length, Next: raw.Next, Limit: raw.Limit, Pending: raw.Pending,
		Leased: raw.Leased, Dead: raw.Dead, Attempts: raw.Attempts,
		Due: raw.Due, Bytes: raw.Bytes, MostBytes: raw.MostBytes, Eviction: raw.Eviction,
	}
}

// Moved is Changed for a sequence: next is the position that the next item
// gets now, pending what is added to Pending.
func (tx *Tx) Moved(o *Object, delta int, next uint64, pending int) {
	s, err := tx.slot(o)
	if err != nil {
		tx.Fail(err)
		return
	}
	tx.remember(s)
	s.changed = true
	s.state.Length += uint64(delta)
	s.state.Next = next
	s.state.Pending += uint64(pending)
}

// Kept notes what a dict with FlagCache keeps about its entries. By itself it
// is no change of the object: the version stays, and nobody is woken.
func (tx *Tx) Kept(o *Object, due int64, bytes, next uint64) {
	s, err := tx.slot(o)
	if err != nil {
		tx.Fail(err)
		return
	}
	if s.state.Due == due && s.state.Bytes == bytes && s.state.Next == next {
		return
	}
	tx.remember(s)
	s.kept = true
	s.state.Due, s.state.Bytes, s.state.Next = due, bytes, next
}

// SetCache makes a dict one with FlagCache, of at most so many entries and
// bytes, 0 for no bound.
func (tx *Tx) SetCache(o *Object, limit, bytes, eviction uint64) error {
	s, err := tx.slot(o)
	if err != nil {
		return err
	}
	tx.remember(s)
	s.changed = true
	s.state.Flags |= FlagCache
	s.state.Limit, s.state.MostBytes, s.state.Eviction = limit, bytes, eviction
	return nil
}

// Alter changes the state of an object at will, but for its version.
func (tx *Tx) Alter(o *Object, change func(*State)) {
	s, err := tx.slot(o)
	if err != nil {
		tx.Fail(err)
		return
	}
	tx.remember(s)
	s.changed = true
	change(&s.state)
}

// Dirty reports whether the transaction has changes of the object's state that
// it has yet to write.
func (tx *Tx) Dirty(o *Object) bool {
	s := tx.find(o.ID)
	return s != nil && s.changed
}

// SetLimit sets the bound on a sequence's length.
func (tx *Tx) SetLimit(o *Object, limit uint64) error {
	s, err := tx.slot(o)
	if err != nil {
		return err
	}
	tx.remember(s)
	s.changed = true
	s.state.Limit = limit
	return nil
}

// SetVersion has the object's version be what is given once the transaction
// commits, for one that was changed elsewhere before.
func (tx *Tx) SetVersion(o *Object, version uint64) error {
	s, err := tx.slot(o)
	if err != nil {
		return err
	}
	tx.remember(s)
	s.changed = true
	s.state.Version = version
	if s.state.Flags&FlagUnversioned == 0 {
		s.state.Version-- // the commit counts this transaction; for 0 it wraps both ways
	}
	return nil
}
