package store

import "parkit/gocore/errs"

// Undo is the log behind a transaction's savepoints: what entries held before
// they were overwritten. Backends embed it, because an engine's own nested
// transactions are either missing or dear (LMDB refuses them with WRITEMAP).
//
// It keeps nothing while no savepoint is open, so that a transaction without
// one pays a single comparison a write. Only the first overwrite of a key
// since the newest mark is kept: it alone holds the value to come back to.
//
// The zero Undo is ready for use. Like the transaction it belongs to, it is
// used by one goroutine at a time.
type Undo struct {
	entries []overwritten
	marks   []undoMark
}

// overwritten is one entry as it was. The key is a string because the same
// bytes serve as the key of undoMark.seen.
type overwritten struct {
	key     string
	old     []byte
	existed bool
}

// undoMark is an open savepoint: where its entries begin, and which keys it
// has. seen is made only past linearKeys entries; most savepoints are around
// a handful of writes, for which a map costs more than it saves.
type undoMark struct {
	start int
	seen  map[string]struct{}
}

const linearKeys = 8

// Active reports whether a savepoint is open. A caller asks before it fetches
// the old value that Record wants.
func (u *Undo) Active() bool { return len(u.marks) != 0 }

// Mark opens a savepoint.
func (u *Undo) Mark() {
	u.marks = append(u.marks, undoMark{start: len(u.entries)})
}

// Needs reports whether the old value of key is still to be recorded: a
// savepoint is open and key was not overwritten since. It spares a backend the
// look-up of an old value that Record would drop.
func (u *Undo) Needs(key []byte) bool {
	return len(u.marks) != 0 && !u.has(len(u.marks)-1, key)
}

// Record notes that key is about to be overwritten or removed and held
// oldValue, or nothing when existed is false. Both slices are copied. Without
// an open savepoint it does nothing.
func (u *Undo) Record(key, oldValue []byte, existed bool) {
	if !u.Needs(key) {
		return
	}
	entry := overwritten{key: string(key), existed: existed}
	if existed {
		entry.old = append(make([]byte, 0, len(oldValue)), oldValue...)
	}
	u.add(len(u.marks)-1, entry)
}

// Rollback puts every entry back to what it was at the newest savepoint, the
// last overwritten first, and removes the savepoint. put and del must not
// record into u. An error of theirs leaves the transaction half way: the
// caller can only abort it.
func (u *Undo) Rollback(put func(key, value []byte) error, del func(key []byte) error) error {
	if len(u.marks) == 0 {
		return errNoSavepoint("roll back")
	}
	last := len(u.marks) - 1
	start := u.marks[last].start
	for i := len(u.entries) - 1; i >= start; i-- {
		entry := &u.entries[i]
		var err error
		if entry.existed {
			err = put([]byte(entry.key), entry.old)
		} else {
			err = del([]byte(entry.key))
		}
		if err != nil {
			return err
		}
	}
	u.cut(start)
	u.marks[last] = undoMark{}
	u.marks = u.marks[:last]
	return nil
}

// Release removes the newest savepoint and keeps what was done since. The
// outer savepoint, if there is one, takes over what it has not recorded itself.
func (u *Undo) Release() error {
	if len(u.marks) == 0 {
		return errNoSavepoint("release")
	}
	last := len(u.marks) - 1
	start := u.marks[last].start
	u.marks[last] = undoMark{}
	u.marks = u.marks[:last]
	if last == 0 {
		u.cut(0)
		return nil
	}
	inner := u.entries[start:]
	u.entries = u.entries[:start]
	kept := 0
	for _, entry := range inner {
		// add writes at or before the entry just read, so inner may share
		// the slice with it.
		if !u.hasString(last-1, entry.key) {
			u.add(last-1, entry)
			kept++
		}
	}
	clear(inner[kept:])
	return nil
}

// Reset forgets every savepoint, for a transaction that ended.
func (u *Undo) Reset() {
	u.cut(0)
	clear(u.marks)
	u.marks = u.marks[:0]
}

// add appends entry to the mark's keys, which must be the newest mark.
func (u *Undo) add(mark int, entry overwritten) {
	u.entries = append(u.entries, entry)
	m := &u.marks[mark]
	switch own := u.entries[m.start:]; {
	case m.seen != nil:
		m.seen[entry.key] = struct{}{}
	case len(own) > linearKeys:
		m.seen = make(map[string]struct{}, 4*linearKeys)
		for i := range own {
			m.seen[own[i].key] = struct{}{}
		}
	}
}

func (u *Undo) has(mark int, key []byte) bool {
	m := &u.marks[mark]
	if m.seen != nil {
		_, ok := m.seen[string(key)] // no allocation: the compiler knows this form
		return ok
	}
	for i := m.start; i < len(u.entries); i++ {
		if u.entries[i].key == string(key) {
			return true
		}
	}
	return false
}

func (u *Undo) hasString(mark int, key string) bool {
	m := &u.marks[mark]
	if m.seen != nil {
		_, ok := m.seen[key]
		return ok
	}
	for i := m.start; i < len(u.entries); i++ {
		if u.entries[i].key == key {
			return true
		}
	}
	return false
}

// cut drops the entries from start on, and their memory with them.
func (u *Undo) cut(start int) {
	clear(u.entries[start:])
	u.entries = u.entries[:start]
}

func errNoSavepoint(what string) error {
	return errs.New(errs.BadTransaction, what, "",
		"no savepoint is open; call Savepoint first, and end each one once")
}
