package object

import (
	"sync"

	"parkit/gocore/store"
)

// latest remembers the state of the object that this process's last update
// changed. The next update, if no commit came between, need not read it: a
// loop of updates of one object is what is done most.
type latest struct {
	mu     sync.Mutex
	commit uint64 // 0: nothing is remembered
	id     uint64
	value  State
}

// state is the state of an object, if txn follows right on the commit that is
// remembered and that changed it.
func (l *latest) state(txn store.Txn, id uint64) (State, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.commit == 0 || l.id != id || txn.ID() != l.commit+1 {
		return State{}, false
	}
	return l.value, true
}

// keep remembers what a transaction that was just committed left, if that was
// one object's change.
func (l *latest) keep(tx *Tx) {
	// Where nothing was written, no commit was made, and another one will
	// have its number.
	if tx.commit == 0 || tx.used != 1 || tx.more != nil || !tx.inline[0].written || tx.inline[0].dropped {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commit, l.id, l.value = tx.commit, tx.inline[0].object.ID, tx.inline[0].state
}
