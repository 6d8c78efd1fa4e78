package object

import (
	"encoding/binary"
	"sync"
	"unsafe"

	"parkit/gocore/keys"
)

const (
	// FileChunk is the size of a file's chunks: with the frame of the record and
	// the head of LMDB's page it fills 32 pages of 4 KiB. Smaller ones cost more
	// searches, larger ones more copying where a file is written bit by bit.
	FileChunk = 128<<10 - 16 - keys.EntryOverhead

	// checkedFrom is from which size on it is worth knowing that a record was
	// checked already. A file's chunks are below it.
	checkedFrom = 256 << 10
	// checkedMost bounds how many records are known for an object.
	checkedMost = 64
)

// checked are large records of an object whose sum this process has checked.
// Where such a record still lies in the same place, of the same length and
// under the same sum, it is not summed again: a look at 8 MB would else cost
// reading 8 MB.
type checked struct {
	mu      sync.Mutex
	records map[string]placed
}

// placed is where a record was when it was checked.
type placed struct {
	at  uintptr
	n   int
	sum uint32
}

// Value checks an entry record of the object, a large one only where this
// process has not done so yet, and is its value, which aliases it.
func (o *Object) Value(dbkey, record []byte) (value []byte, err error) {
	if len(record) < checkedFrom {
		_, _, value, err = keys.Open(dbkey, record)
		return value, err
	}
	is := placed{uintptr(unsafe.Pointer(unsafe.SliceData(record))), len(record), binary.LittleEndian.Uint32(record)}
	c := &o.checked
	c.mu.Lock()
	known := c.records[string(dbkey)] == is
	c.mu.Unlock()
	if known {
		_, _, value, err = keys.Split(dbkey, record)
		return value, err
	}
	if _, _, value, err = keys.Open(dbkey, record); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records == nil || len(c.records) >= checkedMost {
		c.records = map[string]placed{}
	}
	c.records[string(dbkey)] = is
	return value, nil
}
