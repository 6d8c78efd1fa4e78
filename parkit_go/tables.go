package parkit_go

/*
#include "lane.h"
*/
import "C"

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// Objects and spaces cross to Python as numbers: the place in a table, and
// above it the generation of the library's copy, so that a number which a
// forked child inherited is never taken for one of its own. There is one
// number for each object and space, however often they are opened; they are
// kept until the process ends.
const generationShift = 40

var generation atomic.Int64

// table is an append-only list that is read without a lock.
type table[T any] struct {
	mu    sync.Mutex
	items atomic.Pointer[[]T]
}

func (t *table[T]) add(item T) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var items []T
	if old := t.items.Load(); old != nil {
		items = *old
	}
	// append may write behind the end that readers know of, never before it.
	items = append(items, item)
	t.items.Store(&items)
	return int64(len(items)) | generation.Load()<<generationShift
}

// at is the item of a number; false when it is of another copy of the library.
func (t *table[T]) at(number int64) (item T, ok bool) {
	if number>>generationShift != generation.Load() {
		return item, false
	}
	items := t.items.Load()
	place := number & (1<<generationShift - 1)
	if items == nil || place < 1 || place > int64(len(*items)) {
		return item, false
	}
	return (*items)[place-1], true
}

// opened is an object with the number of its space, which a scope names.
type opened struct {
	*object.Object
	space int64
}

type objectKey struct {
	space int64
	id    uint64
}

var (
	spaces  table[*atomic.Pointer[object.Space]] // nil: let go of
	objects table[*opened]

	numbersMu     sync.Mutex
	spaceNumbers  = map[*object.Space]int64{}
	objectNumbers = map[objectKey]int64{}
	// The numbers of namespaces that were let go of, by their directories: each
	// gets its own again, or a process that walks often would never stop growing.
	freeNumbers = map[string]int64{}
)

func addSpace(space *object.Space) int64 {
	numbersMu.Lock()
	defer numbersMu.Unlock()
	number, ok := spaceNumbers[space]
	if !ok {
		slot := new(atomic.Pointer[object.Space])
		slot.Store(space)
		number = spaces.add(slot)
		spaceNumbers[space] = number
	}
	return number
}

// addSpaceAt is addSpace for a namespace that may have been open before.
func addSpaceAt(directory string, space *object.Space) int64 {
	numbersMu.Lock()
	number, free := freeNumbers[directory]
	if _, known := spaceNumbers[space]; free && !known {
		if slot, ok := spaces.at(number); ok {
			slot.Store(space)
			spaceNumbers[space] = number
			delete(freeNumbers, directory)
		}
	}
	numbersMu.Unlock()
	return addSpace(space)
}

// forgetSpace takes back the number of a space that was closed.
func forgetSpace(directory string, space *object.Space) {
	numbersMu.Lock()
	defer numbersMu.Unlock()
	number, known := spaceNumbers[space]
	if !known {
		return
	}
	delete(spaceNumbers, space)
	if slot, ok := spaces.at(number); ok {
		slot.Store(nil)
		freeNumbers[directory] = number
	}
}

// addObject is the handle of an object. An object that was created anew under
// an id whose first creation came to nothing replaces that one, as does one of a
// namespace that was opened again.
func addObject(o *object.Object) int64 {
	space := addSpace(o.Space)
	numbersMu.Lock()
	defer numbersMu.Unlock()
	key := objectKey{space, o.ID}
	if number, ok := objectNumbers[key]; ok {
		if known, _ := objects.at(number); known != nil && known.Space == o.Space && known.Void() == nil {
			return number
		}
	}
	number := objects.add(&opened{o, space})
	objectNumbers[key] = number
	return number
}

func spaceOf(number int64) (*object.Space, error) {
	if slot, ok := spaces.at(number); ok {
		if space := slot.Load(); space != nil {
			return space, nil
		}
		return nil, errs.New(errs.Stale, "use namespace", "", "it was closed; open it again")
	}
	return nil, errs.New(errs.Stale, "use namespace", "", "it was opened in another process; open it again")
}

func objectOf(handle int64) (*object.Object, error) {
	if o, ok := objects.at(handle); ok {
		return o.Object, nil
	}
	return nil, errs.New(errs.Stale, "use object", "", "it was opened in another process; open it again")
}

// txIn is the innermost transaction that scopes have open on a space, or nil.
func txIn(scopes *C.pk_scopes, space int64) *object.Tx {
	if h := heldIn(scopes, space); h != nil {
		return h.Tx
	}
	return nil
}

// held is a scope's transaction, pinned so that C may keep its address.
type held struct {
	*object.Tx
	pin     runtime.Pinner
	mu      sync.Mutex
	cursors map[*cursor]struct{} // read by iterators; drained before it ends
	views   int                  // of what it reads; they outlive the scope
	left    bool                 // to its views, when the scope ended
	ended   time.Time
}

// reads notes that a cursor reads in the transaction, or (on false) no longer
// does. Iterators are freed by any thread.
func (h *held) reads(c *cursor, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if on {
		h.cursors[c] = struct{}{}
	} else {
		delete(h.cursors, c)
	}
}

// drain has all cursors set aside what they have yet to give.
func (h *held) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.cursors {
		_ = c.Drain() // a failure is kept, and told by the iterator
	}
	clear(h.cursors)
}

// currentTx is this thread's innermost transaction on a space, or nil.
func currentTx(space *object.Space) *object.Tx {
	return txIn(C.pk_this_thread(), addSpace(space))
}

// inTx runs fn in this thread's transaction on the space where that will do,
// else in one of its own. It may wait for the writer's turn.
func inTx(space *object.Space, mode store.Mode, fn func(*object.Tx) error) error {
	if tx := currentTx(space); tx != nil && (mode == store.Read || tx.Mode() == store.Write) {
		return fn(tx)
	}
	if mode == store.Write {
		return space.Update(store.Wait{Timeout: -1}, fn)
	}
	tx, err := space.Begin(store.Read, store.Wait{})
	if err != nil {
		return err
	}
	defer tx.Abort()
	return fn(tx)
}

// text copies what C handed over. Names are short; the copy keeps them valid.
func text(p unsafe.Pointer, n C.size_t) string {
	return strings.Clone(unsafe.String((*byte)(p), int(n)))
}
