package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Txn is a transaction on a Space.
type Txn struct {
	s        *Space
	txn      *C.MDB_txn
	mode     store.Mode
	undo     store.Undo
	depth    int                      // savepoints that are open
	channels uint64                   // touched: one bit each
	one      [C.PK_ONE_CHANNELS]uint8 // waiters to wake, one a call of WakeOne
	next     uint64                   // first page that nothing uses yet
	begun    uint64                   // what that was at the beginning
	taken    uint64                   // free pages that it may have taken since the disk was full
	stored   bool                     // something was put, not only deleted
	id       uint64                   // of the commit that a write transaction will make
	broken   error                    // LMDB refuses this transaction from here on
	ranOut   bool                     // for want of room that the next one will have
	gate     bool                     // holds the writers' gate of this process
	running  bool                     // an update's function: not to be ended by it
	misused  bool                     // it tried to
	sharing  bool                     // runs the updates of guests
	budget   int                      // that they may still write, in bytes
	refused  bool                     // one had more to write
}

var (
	errEnded   = errs.New(errs.BadTransaction, "", "", "the transaction has ended")
	errNotOurs = errs.New(errs.BadTransaction, "", "", "an update's function must not end its transaction; return an error to abort it")
)

func (t *Txn) usable() error {
	if t.txn == nil {
		return errEnded
	}
	return t.broken
}

// changeable refuses writing.
func (t *Txn) changeable() error {
	if t.txn == nil {
		return errEnded
	}
	if t.broken != nil {
		return t.broken
	}
	if t.mode != store.Write {
		return errs.New(errs.ReadOnly, "write", t.s.name, "this is a read transaction")
	}
	return nil
}

func (t *Txn) writable(key []byte) error {
	if err := t.changeable(); err != nil {
		return err
	}
	return t.s.checkKey("write", key)
}

// failed turns a number into an error, and remembers it where LMDB has given
// the transaction up.
func (t *Txn) failed(op string, rc int) error {
	err := t.s.failure(op, rc)
	if rc == mdbNotFound || rc == mdbBadValSize || t.mode != store.Write {
		return err
	}
	if rc == int(syscall.EIO) && t.s.diskFull() {
		err = t.s.failure(op, int(syscall.ENOSPC)) // LMDB calls a short write that
	}
	t.broken = err
	if rc == mdbMapFull {
		t.lacks(t.next * t.s.pageSize)
	}
	return err
}

// lacks notes that the map was too small for the bytes given.
func (t *Txn) lacks(bytes uint64) {
	t.ranOut = true
	t.s.needed.Store(max(t.s.needed.Load(), bytes))
}

// charge refuses a guest's write that is too much to share a transaction with.
func (t *Txn) charge(n int) error {
	const beside = 64 // an entry's own overhead in the tree
	if t.budget -= n + beside; t.budget >= 0 {
		return nil
	}
	t.refused = true
	return errs.New(errs.Full, "write", t.s.name, "too much to be committed with others; it is run again by itself")
}

// Get returns the value of key.
func (t *Txn) Get(key []byte) ([]byte, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	if err := t.s.checkKey("read", key); err != nil {
		return nil, err
	}
	kp, kn := cbytes(key)
	found := C.pk_get(t.txn, t.s.dbi, kp, kn)
	if found.rc == 0 {
		return gobytes(found.p, found.n), nil
	}
	if found.rc == mdbNotFound {
		return nil, store.ErrNotFound
	}
	return nil, t.failed("read", int(found.rc))
}

// GetMany gets several keys; a missing one gives a nil element.
func (t *Txn) GetMany(keys, values [][]byte) error {
	for i, key := range keys {
		value, err := t.Get(key)
		if err != nil && err != store.ErrNotFound {
			return err
		}
		values[i] = value
	}
	return nil
}

func (t *Txn) put(key, value []byte, n int, reserve C.int) (unsafe.Pointer, bool, error) {
	if err := t.writable(key); err != nil {
		return nil, false, err
	}
	if n > maxValue {
		return nil, false, errs.Newf(errs.TooBig, "write", t.s.name, "a value of %d bytes is more than the %d that one entry can hold", n, maxValue)
	}
	if t.sharing {
		if err := t.charge(len(key) + n); err != nil {
			return nil, false, err
		}
	}
	if err := t.record(key); err != nil {
		return nil, false, err
	}
	if t.s.memory {
		if err := t.blocksFor(uint64(n), putPages); err != nil {
			return nil, false, err
		}
	}
	// Refused before LMDB, which would give the whole transaction up.
	if end, size := t.next*t.s.pageSize+uint64(n), t.s.mapSize(); end+keptBack(size) > size {
		t.lacks(end + uint64(n))
		return nil, false, t.s.failure("write", mdbMapFull)
	}
	t.stored = true
	kp, kn := cbytes(key)
	vp, _ := cbytes(value)
	done := C.pk_put(t.txn, t.s.dbi, kp, kn, vp, C.size_t(n), reserve)
	t.next = uint64(done.next)
	if done.rc != 0 {
		if done.rc == mdbMapFull {
			t.lacks(t.next*t.s.pageSize + 2*uint64(n))
		}
		return nil, false, t.failed("write", int(done.rc))
	}
	return done.p, done.fresh != 0, nil
}

// Put stores value under key and reports whether the key was new.
func (t *Txn) Put(key, value []byte) (bool, error) {
	_, fresh, err := t.put(key, value, len(value), 0)
	return fresh, err
}

// Reserve stores an entry of n bytes and returns its memory to be filled.
func (t *Txn) Reserve(key []byte, n int) ([]byte, bool, error) {
	p, fresh, err := t.put(key, nil, n, 1)
	if err != nil {
		return nil, false, err
	}
	return gobytes(p, C.size_t(n)), fresh, nil
}

// PutMany stores several entries and returns how many keys were new.
func (t *Txn) PutMany(entries []store.Entry) (int, error) {
	for _, e := range entries { // refused whole, before anything changed
		if err := t.writable(e.Key); err != nil {
			return 0, err
		}
	}
	count := 0
	for _, e := range entries {
		fresh, err := t.Put(e.Key, e.Value)
		if err != nil {
			return count, err
		}
		if fresh {
			count++
		}
	}
	return count, nil
}

// Del removes key and reports whether it was there.
func (t *Txn) Del(key []byte) (bool, error) {
	if err := t.writable(key); err != nil {
		return false, err
	}
	if err := t.record(key); err != nil {
		return false, err
	}
	if t.s.memory {
		if err := t.blocksFor(0, delPages); err != nil {
			return false, err
		}
	}
	kp, kn := cbytes(key)
	done := C.pk_del(t.txn, t.s.dbi, kp, kn)
	t.next = uint64(done.next)
	switch rc := done.rc; rc {
	case 0:
		return true, nil
	case mdbNotFound:
		return false, nil
	default:
		return false, t.failed("delete", int(rc))
	}
}

// deleteBatch bounds how much one call of DelRange removes before it sees to
// the blocks that the next one may need.
const deleteBatch = 256

// DelRange removes all keys of the range and returns how many there were.
func (t *Txn) DelRange(r store.Range) (int, error) {
	if err := t.changeable(); err != nil {
		return 0, err
	}
	if !t.undo.Active() && !t.s.memory {
		lp, ln := cbytes(r.Lo)
		hp, hn := cbytes(r.Hi)
		n := C.pk_del_range(t.txn, t.s.dbi, lp, ln, hp, hn)
		t.next = uint64(C.pk_next_page(t.txn))
		if n < 0 {
			return 0, t.failed("delete", int(n))
		}
		return int(n), nil
	}
	r.Reverse, r.KeysOnly = false, false
	batch := make([]store.Entry, deleteBatch)
	keys := make([][]byte, 0, deleteBatch)
	for total := 0; ; {
		n, err := t.Scan(r, batch)
		if err != nil || n == 0 {
			return total, err
		}
		keys = keys[:0]
		for _, e := range batch[:n] {
			keys = append(keys, append([]byte(nil), e.Key...))
		}
		for _, key := range keys {
			if _, err := t.Del(key); err != nil {
				return total, err
			}
			total++
		}
	}
}

// scanStep is how many entries one crossing to LMDB brings.
const scanStep = 64

// Scan fills dst with the first entries of the range.
func (t *Txn) Scan(r store.Range, dst []store.Entry) (int, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	var few [1]C.pk_pair
	var many [scanStep]C.pk_pair
	pairs := few[:]
	if len(dst) > 1 {
		pairs = many[:]
	}
	flags := C.int(0)
	if r.Reverse {
		flags = C.PK_REVERSE
	}
	total := 0
	for total < len(dst) {
		want := min(len(pairs), len(dst)-total)
		lp, ln := cbytes(r.Lo)
		hp, hn := cbytes(r.Hi)
		n := int(C.pk_scan(t.txn, t.s.dbi, lp, ln, hp, hn, flags, &pairs[0], C.int(want)))
		if n < 0 {
			return total, t.failed("scan", n)
		}
		for i := range n {
			dst[total].Key = gobytes(mapped(pairs[i].k), pairs[i].kn)
			dst[total].Value = nil
			if !r.KeysOnly {
				dst[total].Value = gobytes(mapped(pairs[i].v), pairs[i].vn)
			}
			total++
		}
		if n < want {
			break
		}
		r = r.Rest(dst[total-1].Key)
	}
	return total, nil
}

// TakeFirst removes the first entry of the range and returns a copy of it.
func (t *Txn) TakeFirst(r store.Range) (store.Entry, error) {
	var first [1]store.Entry
	if err := t.changeable(); err != nil {
		return store.Entry{}, err
	}
	n, err := t.Scan(r, first[:])
	if err != nil {
		return store.Entry{}, err
	}
	if n == 0 {
		return store.Entry{}, store.ErrNotFound
	}
	e := store.Entry{Key: append([]byte(nil), first[0].Key...), Value: append([]byte(nil), first[0].Value...)}
	_, err = t.Del(e.Key)
	return e, err
}

// NextSeq returns the next number of a counter.
func (t *Txn) NextSeq(counter []byte) (uint64, error) {
	if err := t.writable(counter); err != nil {
		return 0, err
	}
	var last uint64
	value, err := t.Get(counter)
	switch {
	case err == nil && len(value) == 8:
		last = binary.BigEndian.Uint64(value)
	case err == nil:
		return 0, errs.Newf(errs.Corrupt, "count", t.s.name, "the counter %q is not 8 bytes long", counter)
	case err != store.ErrNotFound:
		return 0, err
	}
	var next [8]byte
	binary.BigEndian.PutUint64(next[:], last+1)
	_, err = t.Put(counter, next[:])
	return last + 1, err
}

// Unneeded takes values out of what this process has in its working set; they
// remain in the system's cache. In a memory namespace nothing is given back:
// the pages would have to be made writable one by one again.
func (t *Txn) Unneeded(values [][]byte) {
	if t.mode != store.Read || t.s.memory {
		return // a writer may have copies of LMDB's, until the commit
	}
	const near = 1 << 20 // a call costs more than to map a few pages again
	var start, end uintptr
	page := uintptr(t.s.pageSize)
	for _, value := range values {
		lo := uintptr(unsafe.Pointer(unsafe.SliceData(value)))
		hi := lo + uintptr(len(value))
		if start != 0 && lo >= end && lo-end < near {
			end = hi
			continue
		}
		t.s.unmap(start, end, page)
		start, end = lo, hi
	}
	t.s.unmap(start, end, page)
}

func (s *Space) unmap(start, end, page uintptr) {
	if start == end {
		return
	}
	// A hint: where it is refused, the memory is counted on.
	C.pk_unneeded(C.uintptr_t(start/page*page), C.size_t((end+page-1)/page*page-start/page*page))
}

// Touch says that what channel stands for changed.
func (t *Txn) Touch(channel store.Channel) { t.channels |= 1 << (channel % store.Channels) }

// WakeOne is Touch for a channel of which one waiter is enough a call.
func (t *Txn) WakeOne(channel store.Channel) {
	if channel >= C.PK_ONE_CHANNELS {
		t.Touch(channel)
	} else if t.one[channel] < 255 {
		t.one[channel]++
	}
}

// ID is the number of the commit that a read transaction sees; for a write
// transaction, the one it will make.
func (t *Txn) ID() uint64 {
	if t.txn == nil {
		return 0
	}
	if t.mode == store.Write {
		return t.id
	}
	return uint64(C.pk_txn_id(t.txn))
}

// run runs an update's function, which must leave the end to others.
func (t *Txn) run(fn func(store.Txn) error) error {
	t.running, t.misused = true, false
	defer func() { t.running = false }() // after a panic of fn as well
	err := fn(t)
	if err == nil && t.misused {
		return errNotOurs
	}
	return err
}

// Commit makes the writes visible.
func (t *Txn) Commit() error {
	switch {
	case t.txn == nil:
		return errEnded
	case t.running:
		t.misused = true
		return errNotOurs
	case t.mode == store.Read:
		t.finish()
		return nil
	case t.broken != nil:
		err := t.broken
		t.finish()
		return err
	case t.gate:
		return t.s.commitWithGuests(t)
	}
	return t.commit()
}

func (t *Txn) commit() error {
	s := t.s
	var err error
	if s.memory {
		err = t.blocksFor(0, commitPages)
	} else {
		err = t.fileForCommit()
	}
	if err == nil && (!s.memory || s.begins.Load()%removedEvery == 0) {
		err = s.stillThere()
	}
	if err != nil {
		t.finish()
		return err
	}
	var one *C.uint8_t
	if t.one != [C.PK_ONE_CHANNELS]uint8{} {
		one = (*C.uint8_t)(&t.one[0])
	}
	rc := int(C.pk_write_commit(s.page, t.txn, C.uint64_t(t.channels), one))
	switch {
	case rc == mdbMapFull:
		t.lacks(t.next*s.pageSize + headroom(t.next*s.pageSize))
	case rc == int(syscall.EIO) && s.diskFull():
		rc = int(syscall.ENOSPC) // LMDB calls a short write that
	}
	err = s.failure("commit", rc)
	if rc > 0 {
		s.afterFailure(rc)
	}
	t.end()
	return err
}

// afterFailure decides whether a space can go on after a commit that the
// system failed. After a failed flush nobody knows what the file holds: the
// system may have dropped the pages that it could not write. Only who opens it
// again and reads it may go on. It is called before the next writer of this
// process is let in.
func (s *Space) afterFailure(rc int) {
	switch {
	case rc == int(syscall.ENOMEM):
		s.probe()
	case !errs.Has(ioFailure("", "", syscall.Errno(rc)), errs.Full):
		s.dead.Store(true)
	case C.pk_flush(C.int(s.dataFile.Fd())) != 0:
		// No room, and it was the flush that found out: the system tells
		// each open file of that once.
		s.dead.Store(true)
	default:
		s.probe()
	}
}

// Abort forgets the writes. After the end it does nothing.
func (t *Txn) Abort() {
	if t.running {
		t.misused = true
		return
	}
	t.finish()
}

// finish ends a transaction that has not ended, and forgets its writes.
func (t *Txn) finish() {
	if t.txn == nil {
		return
	}
	if t.mode == store.Read {
		C.pk_reset(t.txn)
		t.s.readers.mu.Lock()
		delete(t.s.readers.pinned, t)
		t.s.readers.mu.Unlock()
		t.s.readers.leave(t.txn)
		t.txn = nil
		return
	}
	C.pk_write_abort(t.s.page, t.txn)
	t.end()
}

// end lets the next writer of this process go on.
func (t *Txn) end() {
	t.txn = nil
	t.s.readers.leave(nil)
	if t.gate {
		t.gate = false
		t.s.gate.leave()
	}
}
