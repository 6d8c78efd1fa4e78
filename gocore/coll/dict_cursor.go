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

// DictCursor goes through a dict as it was when the cursor was made, in
// batches. It may be used by several goroutines, one call at a time.
type DictCursor struct {
	mu       sync.Mutex
	tx       *object.Tx
	own      bool // tx is the cursor's, to be ended by it
	o        *object.Object
	r        KeyRange
	batch    []DictEntry
	packed   []byte
	ended    bool
	aside    *spool // what was left when the transaction was let go
	patience *time.Timer
}

// NewDictCursor makes a cursor over a range. With tx it sees what tx sees, and
// must be drained before tx ends; in a write transaction it is drained at
// once, since later writes are not to be seen. Without tx it has a read
// transaction of its own, and lets go of it when nobody asks for a while.
func NewDictCursor(o *object.Object, tx *object.Tx, r KeyRange) (*DictCursor, error) {
	c := &DictCursor{tx: tx, o: o, r: r, batch: make([]DictEntry, cursorEntries)}
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
func (c *DictCursor) Next() (packed []byte, last bool, err error) {
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
func (c *DictCursor) wait() {
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
func (c *DictCursor) fill() error {
	c.packed = c.packed[:0]
	n, err := DictScan(c.tx, c.o, c.r, c.batch)
	if err != nil {
		return err
	}
	taken := 0
	for taken < n && len(c.packed) < cursorBytes {
		c.packed = AppendPacked(c.packed, c.batch[taken])
		taken++
	}
	if taken > 0 {
		c.r.After = append([]byte(nil), c.batch[taken-1].Key...)
	}
	c.ended = taken == n && n < len(c.batch)
	clear(c.batch)
	return nil
}

// Drain sets aside what is left, so that the transaction is no longer needed.
func (c *DictCursor) Drain() error {
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
func (c *DictCursor) release() {
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
func (c *DictCursor) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release()
	if c.aside != nil {
		c.aside.close()
	}
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
