package coll

import (
	"parkit/gocore/keys"
	"parkit/gocore/object"
)

// Audit follows the records of one object, in the order of their keys, and
// says at the end which state they ask for. A check compares that with the
// state that is stored; a repair stores it. Each kind of collection has its
// own, in the table of AuditOf.
type Audit interface {
	// Record is told of each record but the state's whose sum holds. An error
	// says that the record cannot be: a repair sets it aside. rest is what
	// follows the tag in dbkey.
	Record(dbkey []byte, tag byte, rest, record []byte) error
	// State is what the records ask for, given the state that is stored, whose
	// other fields stay as they are. known is false where that was lost and
	// only the Kind and the flags that follow from the class are in it.
	State(stored object.State, known bool) object.State
	// Gaps reports whether items are not where a state without gaps looks for
	// them, so that a repair must move them together.
	Gaps(want object.State) bool
}

// AuditOf is a new audit for an object of a kind.
func AuditOf(kind object.Kind) Audit {
	if make := audits[kind]; make != nil {
		return make()
	}
	return plainAudit{}
}

var audits = map[object.Kind]func() Audit{
	object.KindDict:  func() Audit { return new(dictAudit) },
	object.KindArray: func() Audit { return new(itemAudit) },
	object.KindQueue: func() Audit { return &queueAudit{} },
	object.KindFile:  func() Audit { return new(fileAudit) },
}

// plainAudit is that of objects that have attributes only, or of whose other
// data nothing is counted.
type plainAudit struct{}

func (plainAudit) Record([]byte, byte, []byte, []byte) error          { return nil }
func (plainAudit) State(stored object.State, known bool) object.State { return stored }
func (plainAudit) Gaps(object.State) bool                             { return false }

type dictAudit struct {
	plainAudit
	entries uint64
	bytes   uint64 // as a cache counts them
	own     bool
}

func (a *dictAudit) Record(dbkey []byte, tag byte, rest, record []byte) error {
	if tag == keys.TagDict {
		a.entries++
		a.bytes += uint64(len(rest) + len(record))
		// Shortened keys are looked at in any case.
		a.own = a.own || record[keys.EntryOverhead-1]&keys.FlagOwnKey != 0 && !keys.Shortened(dbkey)
	}
	return nil
}

func (a *dictAudit) State(stored object.State, known bool) object.State {
	stored.Length = a.entries
	if stored.Flags&object.FlagCache != 0 && (stored.Limit > 0 || stored.MostBytes > 0) {
		stored.Bytes = a.bytes
	}
	if a.own {
		stored.Flags |= object.FlagOwnKeys
	}
	return stored
}

// itemAudit is that of what has numbered items.
type itemAudit struct {
	items       uint64
	first, last uint64
}

func (a *itemAudit) Record(dbkey []byte, tag byte, rest, record []byte) error {
	if tag != keys.TagItem {
		return nil
	}
	if len(rest) != keys.PositionSize {
		return lost(dbkey)
	}
	position := keys.Position(rest)
	if a.items == 0 {
		a.first = position
	}
	a.items, a.last = a.items+1, position
	return nil
}

func (a *itemAudit) State(stored object.State, known bool) object.State {
	stored.Length = a.items
	if a.items > 0 && stored.Next <= a.last {
		stored.Next = a.last + 1
	}
	return stored
}

func (a *itemAudit) Gaps(want object.State) bool {
	return a.items > 0 && (a.first != want.Next-a.items || a.last != want.Next-1)
}

// queueAudit adds what a queue counts beside. Positions may have gaps where
// items are looked for by a search.
type queueAudit struct {
	itemAudit
	ranked       uint64
	next         uint64 // behind the highest position in a rank's key
	leased, dead uint64
}

func (a *queueAudit) Record(dbkey []byte, tag byte, rest, record []byte) error {
	switch tag {
	case keys.TagRank:
		a.ranked++
		if len(rest) >= keys.PositionSize && !keys.Shortened(dbkey) {
			a.next = max(a.next, keys.Position(rest)+1)
		}
	case keys.TagLease:
		holder, _, _, ok := keys.SplitLeaseKey(rest)
		if !ok {
			return lost(dbkey)
		}
		if holder != 0 { // else it is the note of a deadline
			a.leased++
		}
	case keys.TagDead:
		a.dead++
	default:
		return a.itemAudit.Record(dbkey, tag, rest, record)
	}
	return nil
}

func (a *queueAudit) State(stored object.State, known bool) object.State {
	counted := stored.Length + stored.Leased
	taken := stored.Pending - min(stored.Pending, counted)
	if !known && a.ranked > 0 {
		stored.Flags |= object.FlagRanked
	}
	if a.leased+a.dead > 0 {
		withLeases(&stored)
	}
	if stored.Flags&object.FlagRanked != 0 {
		if !known {
			stored.Next = max(stored.Next, a.next)
		}
		stored.Length = a.ranked
	} else {
		stored = a.itemAudit.State(stored, known)
	}
	stored.Leased, stored.Dead = a.leased, a.dead
	// What was taken and is not done with is known from the counts only.
	stored.Pending = stored.Length + stored.Leased + taken
	return stored
}

func (a *queueAudit) Gaps(want object.State) bool {
	return want.Flags&(object.FlagLifo|object.FlagRanked|object.FlagLeases) == 0 && a.itemAudit.Gaps(want)
}

// fileAudit is that of a file's chunks. A file may be larger than they are:
// what is in none is zeros.
type fileAudit struct {
	plainAudit
	chunks      bool
	index       uint64 // of the last
	first, last uint64 // how many bytes are in the first and the last
}

func (a *fileAudit) Record(dbkey []byte, tag byte, rest, record []byte) error {
	if tag != keys.TagChunk {
		return nil
	}
	_, _, value, err := keys.Split(dbkey, record)
	if err == nil && len(rest) != keys.PositionSize {
		err = lost(dbkey)
	}
	if err != nil {
		return err
	}
	a.index, a.last = keys.Position(rest), uint64(len(value))
	if a.index == 0 {
		a.first = a.last
	}
	a.chunks = true
	return nil
}

// State guesses, where the state was lost, that what lies in one piece was set
// at once, and that the rest was written from the beginning on.
func (a *fileAudit) State(stored object.State, known bool) object.State {
	if known || !a.chunks {
		return stored
	}
	chunk := stored.Limit
	if a.first > chunk {
		stored.Next, stored.Pending = a.first, 1
	}
	if stored.Length = stored.Next; a.index > 0 || stored.Next == 0 {
		skipped := (stored.Next + chunk - 1) / chunk
		stored.Length += (max(a.index, skipped)-skipped)*chunk + a.last
	}
	return stored
}
