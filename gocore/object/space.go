// Package object keeps the catalog of a namespace: which objects there are,
// what they are, how often they changed and how much they hold. It gives
// transactions that know this state, and it is all that the collections in
// package coll stand on.
//
// An object is found by its name, but its data hang on its id, a number that
// is not used again. So a handle of a dropped object stays invalid for ever,
// also when another object takes the name.
//
// An object's state (version and length) is read once a transaction, changed
// in memory and written when the transaction commits; it follows savepoints.
package object

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/store"
)

// Space is one namespace with its objects. It is safe for use by several
// goroutines.
type Space struct {
	store     store.Space
	namespace string
	latest    latest

	attend     sync.Mutex
	attendants []Attendant
}

// Object is a handle: cheap, usable by several goroutines, and no proof that
// the object is still there.
type Object struct {
	Space  *Space
	ID     uint64
	Name   string
	Prefix []byte // begins every key of the object's data; not to be written to

	stateKey []byte
	checked  checked
	// void is set when the transaction that created the object came to
	// nothing. Its id is given out again then, which is what makes this needed.
	void atomic.Bool

	attendant atomic.Pointer[Attendant]
}

// format is the namespace's record of what wrote it.
type format struct {
	Version int   `msgpack:"format"`
	Created int64 `msgpack:"created"` // wall clock, ns
}

// Open checks that this code can read the namespace, and marks a new one. A
// namespace of a newer format is errs.NewerFormat; nothing is written to it.
func Open(space store.Space, namespace string) (*Space, error) {
	s := &Space{store: space, namespace: namespace}
	marked, err := s.checkFormat()
	if err != nil || marked {
		return s, err
	}
	err = space.Update(store.Wait{Timeout: -1}, func(txn store.Txn) error {
		// Another process may have been faster.
		marked, err := readFormat(txn, namespace)
		if err != nil || marked {
			return err
		}
		record, err := FormatRecord(space.Now().UnixNano())
		if err != nil {
			return errs.Wrap(errs.Internal, "create namespace", namespace, err)
		}
		_, err = txn.Put(keys.FormatKey(), record)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Store is the namespace's storage.
func (s *Space) Store() store.Space { return s.store }

// Namespace is the namespace's path.
func (s *Space) Namespace() string { return s.namespace }

// Close lets go of the storage. Objects and transactions of the space are
// stale from then on.
func (s *Space) Close() error {
	s.Settle(time.Now().Add(settleWait))
	s.pause()
	return s.store.Close()
}

// Object is the handle for an id, as it was had from a Descriptor. The name
// serves error texts only.
func (s *Space) Object(id uint64, name string) *Object {
	prefix := keys.ObjectPrefix(id)
	return &Object{
		Space: s, ID: id, Name: name,
		Prefix:   prefix[:len(prefix):len(prefix)],
		stateKey: keys.StateKey(prefix),
	}
}

// PeekState reads an object's state in a transaction of its own;
// errs.ObjectNotFound when the object was dropped.
func (o *Object) PeekState() (State, error) {
	if err := o.Void(); err != nil {
		return State{}, err
	}
	// Heap or stack is the backend's doing; the record is small either way.
	record, pin, err := o.Space.store.Peek(o.stateKey, make([]byte, 0, keys.MaxStateSize))
	if pin != nil {
		defer pin.Abort()
	}
	if err == store.ErrNotFound {
		return State{}, o.gone()
	}
	if err != nil {
		return State{}, err
	}
	raw, err := keys.ParseState(o.stateKey, record)
	return stateOf(raw), err
}

// Void is errs.ObjectNotFound for a handle from a transaction that created the
// object and then came to nothing. Operations that read an object's data
// without its State ask it first.
func (o *Object) Void() error {
	if o.void.Load() {
		return o.gone()
	}
	return nil
}

// Channel is what to wait on for a change of the object.
func (o *Object) Channel() store.Channel { return store.ChannelOf(o.ID) }

func (o *Object) path() string { return o.Space.namespace + "/" + o.Name }

func (o *Object) gone() error {
	return errs.New(errs.ObjectNotFound, "use object", o.path(), "it was dropped, or never committed; bind or create it again")
}

func (s *Space) checkFormat() (marked bool, err error) {
	txn, err := s.store.Begin(store.Read, store.Wait{})
	if err != nil {
		return false, err
	}
	defer txn.Abort()
	return readFormat(txn, s.namespace)
}

func readFormat(txn store.Txn, namespace string) (marked bool, err error) {
	key := keys.FormatKey()
	record, err := txn.Get(key)
	if err == store.ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, CheckFormat(record, namespace)
}

// CheckFormat refuses the format record of a namespace that this code cannot
// read.
func CheckFormat(record []byte, namespace string) error {
	payload, err := keys.OpenPayload(keys.FormatKey(), record)
	if err != nil {
		return err
	}
	var f format
	if err := msgpack.NewDecoder(bytes.NewReader(payload)).Decode(&f); err != nil {
		return errs.Wrap(errs.Corrupt, "open namespace", namespace, err)
	}
	if f.Version > keys.FormatVersion {
		return errs.Newf(errs.NewerFormat, "open namespace", namespace,
			"it has format %d and this parkit knows formats up to %d; use a newer parkit", f.Version, keys.FormatVersion)
	}
	if f.Version < 1 {
		return errs.New(errs.Corrupt, "open namespace", namespace, "its format is missing; restore it from a backup")
	}
	return nil
}

// FormatRecord is the record under keys.FormatKey that marks a namespace made
// at a time (ns).
func FormatRecord(created int64) ([]byte, error) {
	payload, err := msgpack.Marshal(format{Version: keys.FormatVersion, Created: created})
	return keys.SealPayload(keys.FormatKey(), payload), err
}
