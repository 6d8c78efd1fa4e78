package coll

import (
	"encoding/binary"
	"sync"
	"time"

	"parkit/gocore/object"
	"parkit/gocore/store"
)

const (
	// cursorEntries and cursorBytes bound what one Next hands over.
	// firstEntries is what a dict's cursor begins with: most are short, and of
	// large values few fit into one Next, but all that were read were checked.
	cursorEntries = 256
	cursorBytes   = 256 << 10
	firstEntries  = 16
)

// cursorLimits are how far a cursor goes for its caller.
type cursorLimits struct {
	// patience is how long a cursor that nobody asks keeps its read
	// transaction. Pages that it sees cannot be used again meanwhile, so a
	// loop that dawdles would make the file grow: what is left is set aside.
	patience time.Duration
	// memory is how much of that is kept in memory, in bytes; the rest goes to
	// a file that has no name.
	memory int
	// after calls a function in a while, as time.AfterFunc does.
	after func(time.Duration, func()) stopper
}

type stopper interface{ Stop() bool }

var limits = cursorLimits{
	patience: 500 * time.Millisecond,
	memory:   64 << 20,
	after:    func(d time.Duration, fn func()) stopper { return time.AfterFunc(d, fn) },
}

// Cursor goes through a collection as it was when the cursor was made, in
// batches. It may be used by several goroutines, one call at a time.
type Cursor struct {
	limits   cursorLimits
	mu       sync.Mutex
	tx       *object.Tx
	own      bool // tx is the cursor's, to be ended by it
	from     source
	packed   []byte
	ended    bool
	failed   error  // told again by every Next
	aside    *spool // what was left when the transaction was let go
	asked    int    // calls of Next
	patience stopper
}

// source is what a cursor reads: a part of one collection.
type source interface {
	// fill appends the next entries to packed, cursorBytes of them or a few
	// more, and says whether nothing comes after them.
	fill(tx *object.Tx, packed []byte) (_ []byte, ended bool, err error)
}

// NewDictCursor makes a cursor over a range of a dict's keys; for tx see
// newCursor.
func NewDictCursor(o *object.Object, tx *object.Tx, r KeyRange) (*Cursor, error) {
	return newCursor(o, tx, &dictSource{o: o, r: r, batch: make([]DictEntry, firstEntries)})
}

// newCursor makes a cursor. With tx it sees what tx sees, and must be drained
// before tx ends; in a write transaction it is drained at once, since later
// writes are not to be seen. Without tx it has a read transaction of its own,
// and lets go of it when nobody asks for a while.
func newCursor(o *object.Object, tx *object.Tx, from source) (*Cursor, error) {
	c := &Cursor{limits: limits, tx: tx, from: from}
	if tx == nil {
		begun, err := o.Space.Begin(store.Read, store.Wait{})
		if err != nil {
			return nil, err
		}
		c.tx, c.own = begun, true
	}
	if _, err := c.tx.State(o); err != nil {
		c.Close()
		return nil, err
	}
	if tx != nil && tx.Mode() == store.Write {
		if err := c.Drain(); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Next returns the next entries, packed, and whether they are the last ones.
// They are valid until the next call. After an error there is nothing more to be
// had, and each further call returns it again.
func (c *Cursor) Next() (packed []byte, last bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	switch {
	case c.failed != nil:
		return nil, true, c.failed
	case c.aside != nil:
		packed, last, c.failed = c.aside.next()
		return packed, last, c.failed
	case c.ended:
		return nil, true, nil
	}
	if c.packed, c.ended, err = c.from.fill(c.tx, c.packed[:0]); err != nil {
		c.failed = err
		c.release()
		return nil, true, err
	}
	if c.ended {
		c.release()
	} else if c.own {
		c.wait()
	}
	return c.packed, c.ended, nil
}

// wait lets the transaction go when the next call is long in coming.
func (c *Cursor) wait() {
	if c.patience != nil {
		c.patience.Stop()
	}
	asked := c.asked
	c.patience = c.limits.after(c.limits.patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.asked == asked { // else it was asked while this was about to run
			_ = c.drain() // a failure is kept, and told by Next
		}
	})
}

// Drain sets aside what is left, so that the transaction is no longer needed.
// What the last Next returned stays valid.
func (c *Cursor) Drain() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drain()
}

func (c *Cursor) drain() error {
	if c.ended || c.aside != nil || c.tx == nil {
		return nil
	}
	aside := &spool{memory: c.limits.memory}
	for !c.ended && aside.failed == nil {
		var packed []byte // not c.packed, which the caller may be reading
		if packed, c.ended, aside.failed = c.from.fill(c.tx, nil); aside.failed == nil {
			aside.failed = aside.add(packed)
		}
	}
	c.aside = aside
	c.release()
	return aside.failed
}

// release lets go of the transaction.
func (c *Cursor) release() {
	c.ended = true
	if c.patience != nil {
		c.patience.Stop()
	}
	if c.own && c.tx != nil {
		c.tx.Abort()
	}
	c.tx = nil
}

// Close lets go of everything. Afterwards there is nothing more to be had.
func (c *Cursor) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release()
	if c.aside != nil {
		c.aside.close()
	}
}

// dictSource reads a range of a dict.
type dictSource struct {
	o      *object.Object
	r      KeyRange
	batch  []DictEntry
	failed error // after the entries that came before it
}

func (d *dictSource) fill(tx *object.Tx, packed []byte) (_ []byte, ended bool, err error) {
	if d.failed != nil {
		return packed, false, d.failed
	}
	n, err := DictScan(tx, d.o, d.r, d.batch)
	if err != nil {
		if n == 0 {
			return packed, false, err
		}
		d.failed = err
	}
	taken := 0
	for taken < n && len(packed) < cursorBytes {
		packed = AppendPacked(packed, d.batch[taken])
		taken++
	}
	if taken > 0 {
		d.r.After = append([]byte(nil), d.batch[taken-1].Key...)
	}
	asked := len(d.batch)
	clear(d.batch)
	switch {
	case taken < n: // found again next time, and so is what failed behind them
		d.batch, d.failed = d.batch[:taken], nil
	case n == asked && asked < cursorEntries:
		d.batch = make([]DictEntry, min(2*asked, cursorEntries))
	}
	return packed, taken == n && n < asked && d.failed == nil, nil
}

// AppendPacked appends an entry: the lengths of key, own key and value, 32
// bits each in the machine's order, and then their bytes.
func AppendPacked(dst []byte, e DictEntry) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, uint32(len(e.Key)))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(len(e.Own)))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(len(e.Value)))
	dst = append(dst, e.Key...)
	dst = append(dst, e.Own...)
	return append(dst, e.Value...)
}
