package memstore

import (
	"sync"

	"parkit/gocore/errs"
)

// Faults make a Backend fail on request. Each of them fires once: on the n-th
// operation of its kind from now, 1 being the next. A nil err stands for an
// errs.IO. Setting one again replaces it; n = 0 takes it back.
type Faults struct {
	mu    sync.Mutex
	armed [faultKinds]fault
}

type fault struct {
	in  int // operations until it fires; 0 is unarmed
	err error
}

type faultKind int

const (
	writeFault faultKind = iota
	commitFault
	flushFault
	faultKinds
)

// FailWrite fails the n-th write to an entry; each entry of a PutMany counts
// as one, a DelRange as one. The entry stays as it was, and the transaction
// usable.
func (f *Faults) FailWrite(n int, err error) { f.arm(writeFault, n, err) }

// FailCommit fails the n-th commit of a write transaction. Nothing of it is
// committed.
func (f *Faults) FailCommit(n int, err error) { f.arm(commitFault, n, err) }

// FailFlush fails the n-th flush. A durable commit that cannot be flushed
// fails, and nothing of it is committed.
func (f *Faults) FailFlush(n int, err error) { f.arm(flushFault, n, err) }

// ClearFaults takes back every fault that has not fired.
func (f *Faults) ClearFaults() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.armed[:])
}

func (f *Faults) arm(kind faultKind, n int, err error) {
	if err == nil {
		err = errs.New(errs.IO, "", "", "the test asked for a failure here")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed[kind] = fault{in: n, err: err}
}

// hit counts an operation and returns the error it is to fail with, if any.
func (f *Faults) hit(kind faultKind) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	armed := &f.armed[kind]
	if armed.in <= 0 {
		return nil
	}
	armed.in--
	if armed.in > 0 {
		return nil
	}
	return armed.err
}
