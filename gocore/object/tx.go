package object

import (
	"sync"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/store"
)

// Tx is a transaction that knows the state of the objects it touches. It is
// used by one goroutine at a time. After an operation failed half-way the Tx
// refuses to commit, until a Rollback to a savepoint from before it.
type Tx struct {
	store.Txn

	space    *Space
	mode     store.Mode
	implicit bool // belongs to Space.Update
	ended    bool

	inline [inlineSlots]slot // most transactions touch one object
	used   int
	more   map[uint64]*slot

	depth   int         // open savepoints
	log     []savedSlot // what slots were before they changed inside a savepoint
	created []*Object   // made in this transaction, so void if it comes to nothing
	marks   []mark      // where each savepoint begins

	hurried     bool   // see Hurry
	now         int64  // see Now; 0 until it is asked
	commit      uint64 // that an implicit transaction will make, 0 where it is shared
	broken      error  // what failed half-way
	brokenDepth int    // at which depth

	fn      func(*Tx) error
	run     func(store.Txn) error // runImplicit, bound once for all uses of a pooled Tx
	scratch *scratch
}

// scratch is memory for what goes to the store. It is apart from the Tx
// because memory that is handed to C must not have Go pointers beside it.
type scratch struct {
	key    [keys.MaxKey]byte
	record [keys.MaxStateSize]byte
}

const inlineSlots = 4

// slot is the state of one object in a transaction.
type slot struct {
	object  *Object
	state   State
	known   bool // state has been read or made
	changed bool // to be written, and the version to be counted, at the end
	kept    bool // to be written, but no change of the object
	created bool // by this transaction, which the version does not count
	written bool // at the end of this transaction
	dropped bool
	depth   int // of the newest savepoint that has a copy in log
}

type savedSlot struct {
	at  *slot
	was slot
}

// mark is where a savepoint begins in Tx.log and Tx.created.
type mark struct{ log, created int }

var implicitTxs = sync.Pool{New: func() any {
	tx := &Tx{scratch: new(scratch)}
	tx.run = tx.runImplicit
	return tx
}}

// Begin starts a transaction that spans several operations. A read
// transaction never waits. The caller ends it by Commit or Abort; a write
// transaction on the thread that began it.
func (s *Space) Begin(mode store.Mode, wait store.Wait) (*Tx, error) {
	txn, err := s.store.Begin(mode, wait)
	if err != nil {
		return nil, err
	}
	return &Tx{Txn: txn, space: s, mode: mode, scratch: new(scratch)}, nil
}

// Update runs fn in a write transaction of its own and commits it. An error
// of fn undoes its writes and is returned. fn may run on another thread and
// may run twice: what it leaves outside the transaction must bear that. The
// Tx, and slices read from it, must not be kept.
func (s *Space) Update(wait store.Wait, fn func(*Tx) error) error {
	tx := implicitTxs.Get().(*Tx)
	tx.space, tx.fn = s, fn
	err := s.store.Update(wait, tx.run)
	if err == nil {
		tx.created = tx.created[:0]
		s.latest.keep(tx)
	}
	// Not deferred: a panic of fn leaves a Tx that nobody should get again.
	tx.reset()
	tx.space, tx.fn = nil, nil
	implicitTxs.Put(tx)
	return err
}

func (tx *Tx) runImplicit(txn store.Txn) error {
	tx.reset()
	tx.Txn, tx.mode, tx.implicit, tx.ended = txn, store.Write, true, false
	tx.commit = 0
	if !tx.space.store.Durable() { // else others' updates may be in the same commit
		tx.commit = txn.ID()
	}
	if err := tx.fn(tx); err != nil {
		return err
	}
	if tx.depth != 0 {
		return errs.New(errs.BadTransaction, "update", tx.space.namespace, "a savepoint was left open; release it or roll it back")
	}
	return tx.finish()
}

// reset makes the Tx as good as new, but keeps its memory. Objects created
// since the last commit are void.
func (tx *Tx) reset() {
	tx.voidCreated(0)
	clear(tx.inline[:tx.used])
	clear(tx.log)
	tx.Txn, tx.used, tx.more = nil, 0, nil
	tx.depth, tx.log, tx.marks = 0, tx.log[:0], tx.marks[:0]
	tx.broken, tx.brokenDepth = nil, 0
	tx.now = 0
	tx.hurried = false
	tx.ended = true
}

// briefly is up to how many bytes a record is read by one who others wait for.
const briefly = 1 << 20

var tooLarge = errs.New(errs.WouldBlock, "read", "", "the value is large, and others wait for the reader")

// Brief is errs.WouldBlock for a record that takes long to check and to copy.
func Brief(record []byte) error {
	if len(record) > briefly {
		return tooLarge
	}
	return nil
}

// Hurry says that others wait for the caller, who holds Python's lock: to read
// a large record is errs.WouldBlock then, before it is looked at.
func (tx *Tx) Hurry(on bool) { tx.hurried = on }

// Affords is Brief of a record in a transaction that is in a hurry.
func (tx *Tx) Affords(record []byte) error {
	if tx.hurried {
		return Brief(record)
	}
	return nil
}

// Space is the namespace that the transaction is on.
func (tx *Tx) Space() *Space { return tx.space }

// Mode is store.Read or store.Write.
func (tx *Tx) Mode() store.Mode { return tx.mode }

// State is the state of an object; errs.ObjectNotFound when it was dropped.
func (tx *Tx) State(o *Object) (*State, error) {
	s, err := tx.slot(o)
	if err != nil {
		return nil, err
	}
	return &s.state, nil
}

// Changed notes that the object changed: its length by delta, and its version
// by one for the whole transaction. The caller has called State before, to
// know that the object is there.
func (tx *Tx) Changed(o *Object, delta int) {
	s, err := tx.slot(o)
	if err != nil {
		tx.Fail(err)
		return
	}
	tx.remember(s)
	s.changed = true
	s.state.Length += uint64(delta)
}

// SetFlags changes Flag… bits of the object's state, as part of a change that
// Changed notes too.
func (tx *Tx) SetFlags(o *Object, set, unset uint32) {
	s, err := tx.slot(o)
	if err != nil {
		tx.Fail(err)
		return
	}
	flags := s.state.Flags&^unset | set
	if flags == s.state.Flags {
		return
	}
	tx.remember(s)
	s.changed = true
	s.state.Flags = flags
}

// Fail notes that an operation stopped half-way with err: Commit returns err
// unless a Rollback undoes the operation first. It returns err.
func (tx *Tx) Fail(err error) error {
	if tx.broken == nil {
		tx.broken, tx.brokenDepth = err, tx.depth
	}
	return err
}

// EntryKey is the database key of an entry of the object. It is valid until
// the next call of EntryKey.
func (tx *Tx) EntryKey(o *Object, tag byte, encoded []byte) (key []byte, shortened bool) {
	return keys.AppendEntryKey(tx.scratch.key[:0], o.Prefix, tag, encoded)
}

// ItemKey is the database key of an item of the object. It is valid until the
// next call of EntryKey or ItemKey.
func (tx *Tx) ItemKey(o *Object, tag byte, position uint64) []byte {
	return keys.AppendItemKey(tx.scratch.key[:0], o.Prefix, tag, position)
}

// PutEntry stores an entry record and reports whether its key was new. own
// and value must not alias what the transaction handed out.
func (tx *Tx) PutEntry(dbkey, own []byte, value ...[]byte) (fresh bool, err error) {
	return tx.PutStamped(dbkey, 0, own, value...)
}

// PutStamped is PutEntry for a record whose flags say that stamps stand before
// the value: the first of its parts.
func (tx *Tx) PutStamped(dbkey []byte, flags byte, own []byte, value ...[]byte) (fresh bool, err error) {
	size := 0
	for _, part := range value {
		size += len(part)
	}
	memory, fresh, err := tx.Reserve(dbkey, keys.SealSize(len(own), size))
	if err != nil {
		return false, err
	}
	keys.Seal(memory, dbkey, flags, own, value...)
	return fresh, nil
}

// Implicit reports whether the transaction is that of one operation, which
// Update began.
func (tx *Tx) Implicit() bool { return tx.implicit }

// Now is the time of the transaction, in ns since 1970: that of the first
// question. It stands still, so that what a reader sees as ended, or not, it
// sees so to its end.
func (tx *Tx) Now() int64 {
	if tx.now == 0 {
		tx.now = tx.space.store.Now().UnixNano()
	}
	return tx.now
}

// Savepoint marks a point to come back to; savepoints nest.
func (tx *Tx) Savepoint() error {
	if err := tx.Txn.Savepoint(); err != nil {
		return err
	}
	tx.depth++
	tx.marks = append(tx.marks, mark{len(tx.log), len(tx.created)})
	return nil
}

// Rollback undoes everything since the newest savepoint and removes it.
func (tx *Tx) Rollback() error {
	if err := tx.Txn.Rollback(); err != nil {
		if tx.depth > 0 {
			tx.broken, tx.brokenDepth = err, 0
		}
		return err
	}
	start := tx.popMark()
	for i := len(tx.log) - 1; i >= start.log; i-- {
		*tx.log[i].at = tx.log[i].was
	}
	tx.cutLog(start.log)
	tx.voidCreated(start.created)
	if tx.broken != nil && tx.brokenDepth > tx.depth {
		tx.broken = nil
	}
	return nil
}

// Release removes the newest savepoint and keeps what was done since.
func (tx *Tx) Release() error {
	if err := tx.Txn.Release(); err != nil {
		return err
	}
	start := tx.popMark()
	for _, saved := range tx.log[start.log:] {
		// The copy belongs to the outer savepoint now. Where that has one
		// already, the older one is restored last and wins.
		saved.at.depth = tx.depth
	}
	if tx.depth == 0 {
		tx.cutLog(0)
	}
	tx.brokenDepth = min(tx.brokenDepth, tx.depth)
	return nil
}

// Commit writes the state of the changed objects and makes everything
// visible. After an error nothing was committed.
func (tx *Tx) Commit() error {
	if tx.implicit {
		return errs.New(errs.BadTransaction, "commit", tx.space.namespace, "Update commits by itself; return from its function instead")
	}
	if tx.ended {
		return tx.Txn.Commit() // the backend says what is wrong
	}
	if err := tx.finish(); err != nil {
		tx.Abort()
		return err
	}
	tx.ended = true
	err := tx.Txn.Commit()
	if err == nil {
		tx.created = nil
	}
	tx.voidCreated(0)
	return err
}

// Abort forgets the transaction. Inside Update it only makes the update fail;
// return an error instead.
func (tx *Tx) Abort() {
	if tx.implicit {
		tx.broken, tx.brokenDepth = errs.New(errs.BadTransaction, "abort", tx.space.namespace, "Update ends its transaction by itself; return an error from its function instead"), 0
		return
	}
	tx.ended = true
	tx.voidCreated(0)
	tx.Txn.Abort()
}

// finish writes the states at the end of the transaction.
func (tx *Tx) finish() error {
	if tx.broken != nil {
		return tx.broken
	}
	for i := range tx.inline[:tx.used] {
		if err := tx.writeState(&tx.inline[i]); err != nil {
			return err
		}
	}
	for _, s := range tx.more {
		if err := tx.writeState(s); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) writeState(s *slot) error {
	if !s.changed && !s.kept {
		return nil
	}
	changed := s.changed
	s.changed, s.kept, s.written = false, false, true
	if !s.dropped {
		if changed && !s.created && s.state.Flags&FlagUnversioned == 0 {
			s.state.Version++
		}
		n := keys.PutState(tx.scratch.record[:], s.object.stateKey, s.state.record())
		if _, err := tx.Put(s.object.stateKey, tx.scratch.record[:n]); err != nil {
			return err
		}
	}
	if changed {
		tx.Touch(store.ChannelOf(s.object.ID))
	}
	return nil
}

// slot finds or reads the state of an object that is there.
func (tx *Tx) slot(o *Object) (*slot, error) {
	if tx.ended {
		return nil, errs.New(errs.BadTransaction, "use object", o.path(), "the transaction has ended; begin another")
	}
	if o.Space != tx.space && o.Space.store != tx.space.store {
		return nil, errs.New(errs.BadTransaction, "use object", o.path(), "the transaction is on another namespace: "+tx.space.namespace)
	}
	if o.void.Load() {
		return nil, o.gone()
	}
	s := tx.find(o.ID)
	if s != nil && s.known {
		if s.dropped {
			return nil, o.gone()
		}
		return s, nil
	}
	if tx.implicit && tx.used == 0 {
		if state, ok := tx.space.latest.state(tx.Txn, o.ID); ok {
			s = tx.add(o)
			s.state, s.known = state, true
			return s, nil
		}
	}
	record, err := tx.Get(o.stateKey)
	if err == store.ErrNotFound {
		return nil, o.gone()
	}
	if err != nil {
		return nil, err
	}
	raw, err := keys.ParseState(o.stateKey, record)
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = tx.add(o)
	}
	s.state = stateOf(raw)
	s.known = true
	return s, nil
}

func (tx *Tx) find(id uint64) *slot {
	for i := range tx.inline[:tx.used] {
		if tx.inline[i].object.ID == id {
			return &tx.inline[i]
		}
	}
	return tx.more[id]
}

func (tx *Tx) add(o *Object) *slot {
	if tx.used < inlineSlots {
		s := &tx.inline[tx.used]
		tx.used++
		s.object = o
		return s
	}
	if tx.more == nil {
		tx.more = make(map[uint64]*slot)
	}
	s := &slot{object: o}
	tx.more[o.ID] = s
	return s
}

// remember keeps a copy of the slot for the newest savepoint, before the
// first change since.
func (tx *Tx) remember(s *slot) {
	if s.depth < tx.depth {
		tx.log = append(tx.log, savedSlot{s, *s})
		s.depth = tx.depth
	}
}

func (tx *Tx) popMark() (start mark) {
	tx.depth--
	start = tx.marks[tx.depth]
	tx.marks = tx.marks[:tx.depth]
	return start
}

func (tx *Tx) cutLog(start int) {
	clear(tx.log[start:])
	tx.log = tx.log[:start]
}

func (tx *Tx) voidCreated(start int) {
	for _, o := range tx.created[start:] {
		o.void.Store(true)
	}
	clear(tx.created[start:])
	tx.created = tx.created[:start]
}
