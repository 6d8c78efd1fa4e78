package memstore

import (
	"bytes"
	"unsafe"

	"parkit/gocore/errs"
)

// handedOut is a slice that the caller holds, and what it stands for.
type handedOut struct{ lent, own []byte }

// scribble is what invalid memory holds. It is no sensible length, checksum,
// tag or text.
const scribble = 0xDB

// hand lends value to the caller.
func (t *txn) hand(value []byte) []byte {
	if value == nil {
		value = []byte{} // nil is "missing" to GetMany's callers
	}
	if t.space.backend.options.KeepSlices || len(value) == 0 {
		return value[:len(value):len(value)]
	}
	lent := bytes.Clone(value)
	t.handed = append(t.handed, handedOut{lent: lent, own: value})
	return lent[:len(lent):len(lent)]
}

// expire spoils the slices lent so far.
func (t *txn) expire() {
	for _, h := range t.handed {
		if !bytes.Equal(h.lent, h.own) {
			panic("memstore: the caller wrote to a slice that a transaction handed out")
		}
		fill(h.lent)
	}
	clear(t.handed)
	t.handed = t.handed[:0]
}

// refuseOwn refuses slices that this transaction handed out as the arguments of
// a write: the write ends their time, and an engine may move them while it
// still reads them.
func (t *txn) refuseOwn(op string, arguments ...[]byte) error {
	for _, argument := range arguments {
		if len(argument) == 0 {
			continue
		}
		at := uintptr(unsafe.Pointer(unsafe.SliceData(argument)))
		for _, h := range t.handed {
			start := uintptr(unsafe.Pointer(unsafe.SliceData(h.lent)))
			if start <= at && at < start+uintptr(len(h.lent)) {
				return errs.New(errs.InvalidArgument, op, t.space.namespace,
					"an argument is a slice that this transaction handed out; copy it first")
			}
		}
	}
	return nil
}

// settle stores what the caller filled Reserve's memory with.
func (t *txn) settle() {
	if t.reserved.lent == nil {
		return
	}
	copy(t.reserved.own, t.reserved.lent)
	fill(t.reserved.lent)
	t.reserved = handedOut{}
}

func fill(memory []byte) {
	for i := range memory {
		memory[i] = scribble
	}
}
