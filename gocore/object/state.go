package object

import "parkit/gocore/keys"

// State is how far an object has come. A *State from a Tx is the
// transaction's own: it follows later changes, is not to be written to, and
// is valid until the transaction ends.
type State struct {
	// Version counts the transactions that changed the object. It goes up at
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

	// FlagsGiven are those that are given when an object is created.
	FlagsGiven = FlagLifo | FlagRanked
)

// Kind is the kind that the object was created with.
func (s *State) Kind() Kind { return Kind(s.Flags) }

func (s *State) record() keys.State {
	return keys.State{Flags: s.Flags, Version: s.Version, Length: s.Length, Next: s.Next, Limit: s.Limit, Pending: s.Pending}
}

func stateOf(raw keys.State) State {
	return State{Flags: raw.Flags, Version: raw.Version, Length: raw.Length, Next: raw.Next, Limit: raw.Limit, Pending: raw.Pending}
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
