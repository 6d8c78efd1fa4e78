package memstore

import (
	"bytes"
	"encoding/binary"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// txn is a transaction: a snapshot, which a writer has for itself.
type txn struct {
	snapshot
	space     *Space
	write     bool
	ended     bool
	managed   bool // fn of Update runs: only Update may end it
	abandoned bool // fn tried to

	undo     store.Undo
	touched  []touch
	handed   []handedOut
	reserved handedOut // the memory that Reserve last returned
}

type touch struct {
	channel store.Channel
	all     bool
}

// usable opens every method: it ends the time of the memory that Reserve
// returned, and refuses what the transaction may not do.
func (t *txn) usable(op string, write bool) error {
	if t.ended {
		return errs.New(errs.BadTransaction, op, t.space.namespace,
			"the transaction has ended; begin another one")
	}
	t.settle()
	if err := t.space.failed(); err != nil {
		return err
	}
	if !write {
		return nil
	}
	if !t.write {
		return errs.New(errs.ReadOnly, op, t.space.namespace,
			"this is a read transaction; begin a write transaction")
	}
	t.expire()
	return nil
}

func checkKey(op string, key []byte) error {
	if len(key) == 0 {
		return errs.New(errs.InvalidArgument, op, "",
			"the key is empty; a key has 1 to 511 bytes")
	}
	if len(key) > store.MaxKey {
		return errs.Newf(errs.TooBig, op, "",
			"the key has %d bytes; at most %d fit", len(key), store.MaxKey)
	}
	return nil
}

// find is the stored value of key, which must not leave the package.
func (t *txn) find(key []byte) ([]byte, error) {
	if err := checkKey("get", key); err != nil {
		return nil, err
	}
	e, ok := t.tree.Get(entry{key: key})
	if !ok {
		return nil, store.ErrNotFound
	}
	return e.value, nil
}

// set stores value, which it keeps.
func (t *txn) set(key, value []byte) (fresh bool, err error) {
	if err := t.space.backend.Faults.hit(writeFault); err != nil {
		return false, err
	}
	old, existed := t.store(bytes.Clone(key), value)
	t.undo.Record(key, old, existed)
	return !existed, nil
}

// store and drop change the tree and nothing else.
func (t *txn) store(key, value []byte) (old []byte, existed bool) {
	previous, existed := t.tree.ReplaceOrInsert(entry{key: key, value: value})
	t.bytes += int64(len(key)+len(value)) - int64(len(previous.key)+len(previous.value))
	return previous.value, existed
}

func (t *txn) drop(key []byte) (old []byte, existed bool) {
	previous, existed := t.tree.Delete(entry{key: key})
	t.bytes -= int64(len(previous.key) + len(previous.value))
	return previous.value, existed
}

func (t *txn) remove(key []byte) bool {
	old, existed := t.drop(key)
	if existed {
		t.undo.Record(key, old, true)
	}
	return existed
}

func (t *txn) Get(key []byte) ([]byte, error) {
	if err := t.usable("get", false); err != nil {
		return nil, err
	}
	value, err := t.find(key)
	if err != nil {
		return nil, err
	}
	return t.hand(value), nil
}

func (t *txn) GetMany(keys [][]byte, values [][]byte) error {
	if err := t.usable("get", false); err != nil {
		return err
	}
	if len(keys) != len(values) {
		return errs.Newf(errs.InvalidArgument, "get", "",
			"%d keys and room for %d values; give as many of both", len(keys), len(values))
	}
	for i, key := range keys {
		value, err := t.find(key)
		switch {
		case err == nil:
			values[i] = t.hand(value)
		case errs.Has(err, errs.NotFound):
			values[i] = nil
		default:
			return err
		}
	}
	return nil
}

func (t *txn) Put(key, value []byte) (bool, error) {
	if err := checkKey("put", key); err != nil {
		return false, err
	}
	if err := t.refuseOwn("put", key, value); err != nil {
		return false, err
	}
	if err := t.usable("put", true); err != nil {
		return false, err
	}
	return t.set(key, bytes.Clone(value))
}

func (t *txn) Reserve(key []byte, n int) ([]byte, bool, error) {
	if err := checkKey("reserve", key); err != nil {
		return nil, false, err
	}
	if n < 0 {
		return nil, false, errs.Newf(errs.InvalidArgument, "reserve", "",
			"%d bytes; a length is not negative", n)
	}
	if err := t.refuseOwn("reserve", key); err != nil {
		return nil, false, err
	}
	if err := t.usable("reserve", true); err != nil {
		return nil, false, err
	}
	own := make([]byte, n)
	fresh, err := t.set(key, own)
	if err != nil {
		return nil, false, err
	}
	if t.space.backend.options.KeepSlices {
		return own, fresh, nil
	}
	lent := make([]byte, n)
	fill(lent) // an engine's memory is not zero either
	t.reserved = handedOut{lent: lent, own: own}
	return lent, fresh, nil
}

func (t *txn) PutMany(entries []store.Entry) (fresh int, err error) {
	for _, e := range entries {
		if err := checkKey("put", e.Key); err != nil {
			return 0, err
		}
		if err := t.refuseOwn("put", e.Key, e.Value); err != nil {
			return 0, err
		}
	}
	if err := t.usable("put", true); err != nil {
		return 0, err
	}
	for _, e := range entries {
		isFresh, err := t.set(e.Key, bytes.Clone(e.Value))
		if err != nil {
			return fresh, err
		}
		if isFresh {
			fresh++
		}
	}
	return fresh, nil
}

func (t *txn) Del(key []byte) (bool, error) {
	if err := checkKey("delete", key); err != nil {
		return false, err
	}
	key = bytes.Clone(key) // the one write that takes a slice of ours
	if err := t.usable("delete", true); err != nil {
		return false, err
	}
	if err := t.space.backend.Faults.hit(writeFault); err != nil {
		return false, err
	}
	return t.remove(key), nil
}

func (t *txn) DelRange(r store.Range) (int, error) {
	if err := t.refuseOwn("delete", r.Lo, r.Hi); err != nil {
		return 0, err
	}
	if err := t.usable("delete", true); err != nil {
		return 0, err
	}
	if err := t.space.backend.Faults.hit(writeFault); err != nil {
		return 0, err
	}
	var keys [][]byte
	t.walk(r, func(e entry) bool {
		keys = append(keys, e.key)
		return true
	})
	for _, key := range keys {
		t.remove(key)
	}
	return len(keys), nil
}

// walk calls visit for the entries of r in its direction until that says stop.
func (t *txn) walk(r store.Range, visit func(entry) bool) {
	if !r.Reverse {
		t.tree.AscendGreaterOrEqual(entry{key: r.Lo}, func(e entry) bool {
			if len(r.Hi) != 0 && bytes.Compare(e.key, r.Hi) >= 0 {
				return false
			}
			return visit(e)
		})
		return
	}
	down := func(e entry) bool {
		if len(r.Hi) != 0 && bytes.Equal(e.key, r.Hi) {
			return true
		}
		return bytes.Compare(e.key, r.Lo) >= 0 && visit(e)
	}
	if len(r.Hi) == 0 {
		t.tree.Descend(down)
	} else {
		t.tree.DescendLessOrEqual(entry{key: r.Hi}, down)
	}
}

func (t *txn) Scan(r store.Range, dst []store.Entry) (n int, err error) {
	if err := t.usable("scan", false); err != nil {
		return 0, err
	}
	if len(dst) == 0 {
		return 0, nil
	}
	t.walk(r, func(e entry) bool {
		dst[n] = store.Entry{Key: t.hand(e.key)}
		if !r.KeysOnly {
			dst[n].Value = t.hand(e.value)
		}
		n++
		return n < len(dst)
	})
	return n, nil
}

func (t *txn) TakeFirst(r store.Range) (store.Entry, error) {
	if err := t.refuseOwn("take", r.Lo, r.Hi); err != nil {
		return store.Entry{}, err
	}
	if err := t.usable("take", true); err != nil {
		return store.Entry{}, err
	}
	var first entry
	t.walk(r, func(e entry) bool {
		first = e
		return false
	})
	if first.key == nil {
		return store.Entry{}, store.ErrNotFound
	}
	if err := t.space.backend.Faults.hit(writeFault); err != nil {
		return store.Entry{}, err
	}
	t.remove(first.key)
	taken := store.Entry{Key: bytes.Clone(first.key)}
	if !r.KeysOnly {
		taken.Value = append([]byte{}, first.value...)
	}
	return taken, nil
}

func (t *txn) NextSeq(counter []byte) (uint64, error) {
	if err := checkKey("count", counter); err != nil {
		return 0, err
	}
	if err := t.refuseOwn("count", counter); err != nil {
		return 0, err
	}
	if err := t.usable("count", true); err != nil {
		return 0, err
	}
	var last uint64
	if value, err := t.find(counter); err == nil {
		if len(value) != 8 {
			return 0, errs.Newf(errs.Corrupt, "count", string(counter),
				"the counter has %d bytes, not 8; check the namespace", len(value))
		}
		last = binary.BigEndian.Uint64(value)
	}
	_, err := t.set(counter, binary.BigEndian.AppendUint64(nil, last+1))
	if err != nil {
		return 0, err
	}
	return last + 1, nil
}

func (t *txn) Touch(channel store.Channel)   { t.touch(channel, true) }
func (t *txn) WakeOne(channel store.Channel) { t.touch(channel, false) }

func (t *txn) touch(channel store.Channel, all bool) {
	if t.write && !t.ended {
		t.touched = append(t.touched, touch{channel: channel, all: all})
	}
}

func (t *txn) Savepoint() error {
	if err := t.usable("set a savepoint", true); err != nil {
		return err
	}
	t.undo.Mark()
	return nil
}

func (t *txn) Rollback() error {
	if err := t.usable("roll back", true); err != nil {
		return err
	}
	return t.undo.Rollback(
		func(key, value []byte) error { t.store(key, value); return nil },
		func(key []byte) error { t.drop(key); return nil },
	)
}

func (t *txn) Release() error {
	if err := t.usable("release", true); err != nil {
		return err
	}
	return t.undo.Release()
}

// run lets fn work in the transaction of an Update, which fn must not end.
func (t *txn) run(fn func(store.Txn) error) error {
	t.managed = true
	defer func() { t.managed = false }()
	err := fn(t)
	if err == nil && t.abandoned {
		err = errs.New(errs.BadTransaction, "update", t.space.namespace,
			"its function aborted the transaction; return an error instead")
	}
	return err
}

// rehearse runs fn and undoes it.
func (t *txn) rehearse(fn func(store.Txn) error) error {
	t.undo.Mark()
	if err := t.run(fn); err != nil {
		return err
	}
	t.touched = nil
	for t.undo.Active() { // fn may have left savepoints open
		if err := t.Rollback(); err != nil {
			return err
		}
	}
	return nil
}

// Commit ends the transaction, also when it fails.
func (t *txn) Commit() error {
	if err := t.usable("commit", false); err != nil {
		t.Abort()
		return err
	}
	if t.managed {
		return errs.New(errs.BadTransaction, "commit", t.space.namespace,
			"Update commits by itself; return from its function")
	}
	defer t.Abort()
	if !t.write {
		return nil
	}
	if err := t.publish(); err != nil {
		return err
	}
	for _, touched := range t.touched {
		t.space.disk.changes.touch(touched.channel, touched.all)
	}
	t.space.disk.changes.touch(store.AnyChange, true)
	return nil
}

// publish makes the transaction's content the newest.
func (t *txn) publish() error {
	b, d := t.space.backend, t.space.disk
	b.mu.Lock()
	defer b.mu.Unlock()
	// Again, under the lock: a crash may have come since.
	if err := t.space.failed(); err != nil {
		return err
	}
	if err := b.Faults.hit(commitFault); err != nil {
		return err
	}
	before, next := d.committed, t.snapshot
	d.committed = &next
	if b.options.Durable {
		if err := b.flush(d); err != nil {
			d.committed = before
			return err
		}
	}
	return nil
}

func (t *txn) Abort() {
	if t.managed {
		t.abandoned = true
		return
	}
	if t.ended {
		return
	}
	t.settle()
	t.expire()
	t.ended = true
	t.undo.Reset()
	t.touched = nil
	if t.write {
		t.space.turn.release()
		return
	}
	t.space.mu.Lock()
	delete(t.space.readers, t)
	t.space.mu.Unlock()
}

func (t *txn) ID() uint64 { return t.id }
