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
	cursorEntries = 256
	cursorBytes   = 256 << 10
	// cursorPatience is how long a cursor that nobody asks keeps its read
	// transaction. Pages that it sees cannot be used again meanwhile, so a
	// loop that dawdles would make the file grow: what is left is set aside.
	cursorPatience = 500 * time.Millisecond
)

// Cursor goes through a collection as it was when the cursor was made, in
// batches. It may be used by several goroutines, one call at a time.
type Cursor struct {
	mu       sync.Mutex
	tx       *object.Tx
	own      bool // tx is the cursor's, to be ended by it
	from     source
	packed   []byte
	ended    bool
	aside    *spool // what was left when the transaction was let go
	patience *time.Timer
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
	return newCursor(o, tx, &dictSource{o: o, r: r, batch: make([]DictEntry, cursorEntries)})
}

// newCursor makes a cursor. With tx it sees what tx sees, and must be drained
// before tx ends; in a write transaction it is drained at once, since later
// writes are not to be seen. Without tx it has a read transaction of its own,
// and lets go of it when nobody asks for a while.
func newCursor(o *object.Object, tx *object.Tx, from source) (*Cursor, error) {
	c := &Cursor{tx: tx, from: from}
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
// They are valid until the next call.
func (c *Cursor) Next() (packed []byte, last bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside != nil {
		return c.aside.next()
	}
	if c.ended {
		return nil, true, nil
	}
	if err := c.fill(); err != nil {
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
	if c.patience == nil {
		c.patience = time.AfterFunc(cursorPatience, func() {
			// A failure is kept, and told by Next.
			_ = c.Drain()
		})
		return
	}
	c.patience.Reset(cursorPatience)
}

// fill packs the next entries from the transaction.
func (c *Cursor) fill() (err error) {
	c.packed, c.ended, err = c.from.fill(c.tx, c.packed[:0])
	return err
}

// Drain sets aside what is left, so that the transaction is no longer needed.
func (c *Cursor) Drain() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.aside != nil || c.tx == nil {
		return nil
	}
	aside := &spool{}
	for !c.ended {
		err := c.fill()
		if err == nil {
			err = aside.add(c.packed)
		}
		if err != nil {
			aside.failed = err
			break
		}
	}
	failed := aside.failed
	c.aside = aside
	c.release()
	return failed
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

// Close lets go of everything.
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
	o     *object.Object
	r     KeyRange
	batch []DictEntry
}

func (d *dictSource) fill(tx *object.Tx, packed []byte) (_ []byte, ended bool, err error) {
	n, err := DictScan(tx, d.o, d.r, d.batch)
	if err != nil {
		return packed, false, err
	}
	taken := 0
	for taken < n && len(packed) < cursorBytes {
		packed = AppendPacked(packed, d.batch[taken])
		taken++
	}
	if taken > 0 {
		d.r.After = append([]byte(nil), d.batch[taken-1].Key...)
	}
	ended = taken == n && n < len(d.batch)
	clear(d.batch)
	return packed, ended, nil
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
