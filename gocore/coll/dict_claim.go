package coll

import (
	"encoding/binary"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
)

// A claim says that a process computes the value of a key. Others wait for the
// value on the dict's channel. A claim of a process that died is cleared away
// by those who wait, whom its death wakes, and they announce that on the
// channel: so whoever waits there, in whatever way, has only one thing to wait
// for.

// Claim is the answer of DictClaim.
type Claim int

const (
	ClaimThere  Claim = iota // the key has a value
	ClaimMine                // this process is to compute it
	ClaimOthers              // another process does
)

// DictClaim claims a key that has no value, in a transaction of its own. With
// ClaimThere the value is a copy. After ClaimOthers the channel moves when the
// value is there, or the claim is not any more.
//
// A claim is a process's: that of another thread of this one is ClaimMine too.
func DictClaim(o *object.Object, wait store.Wait, key []byte) (Claim, []byte, error) {
	mine, err := owner.Own(o.Space.Store())
	if err != nil {
		return 0, nil, err
	}
	var answer Claim
	var value []byte
	var holder owner.Token
	look := func(tx *object.Tx) (err error) {
		answer, value, holder, err = claimed(tx, o, key, mine)
		return err
	}
	// Who was woken in vain finds it out without the turn to write.
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	if err != nil {
		return 0, nil, err
	}
	err = look(tx)
	tx.Abort()
	if err == nil && answer == ClaimMine {
		err = o.Space.Update(wait, func(tx *object.Tx) error {
			if err := look(tx); err != nil || answer != ClaimMine {
				return err
			}
			dbkey := claimKey(o, key)
			_, err := tx.Put(dbkey, keys.SealPayload(dbkey, binary.LittleEndian.AppendUint64(nil, uint64(mine))))
			return err
		})
	}
	if err == nil && answer == ClaimOthers {
		attendantOf(o).watch(holder)
	}
	return answer, value, err
}

func claimed(tx *object.Tx, o *object.Object, key []byte, mine owner.Token) (Claim, []byte, owner.Token, error) {
	value, err := DictGet(tx, o, key)
	if err == nil {
		return ClaimThere, append([]byte{}, value...), 0, nil
	}
	if err != store.ErrNotFound {
		return 0, nil, 0, err
	}
	holder, err := claimHolder(tx, claimKey(o, key))
	if err != nil {
		return 0, nil, 0, err
	}
	if holder == 0 || holder == mine {
		return ClaimMine, nil, 0, nil
	}
	return ClaimOthers, nil, holder, nil
}

func claimKey(o *object.Object, key []byte) []byte {
	dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagClaim, key)
	return dbkey
}

// claimHolder is whose claim it is; 0 where there is none, or a damaged one.
func claimHolder(tx *object.Tx, dbkey []byte) (owner.Token, error) {
	record, err := tx.Get(dbkey)
	if err == store.ErrNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	payload, err := keys.OpenPayload(dbkey, record)
	if err != nil || len(payload) != 8 {
		return 0, nil
	}
	return owner.Token(binary.LittleEndian.Uint64(payload)), nil
}

// DictUnclaim gives up this process's claim on a key, and wakes who waits.
func DictUnclaim(tx *object.Tx, o *object.Object, key []byte) error {
	if _, err := tx.State(o); err != nil {
		return err
	}
	mine, err := owner.Own(o.Space.Store())
	if err != nil {
		return err
	}
	dbkey := claimKey(o, key)
	holder, err := claimHolder(tx, dbkey)
	if err != nil || holder != mine {
		return err
	}
	if _, err := tx.Del(dbkey); err != nil {
		return err
	}
	tx.Touch(o.Channel())
	return nil
}

// watch has this process clear away the claims of a process when that dies.
func (a *attendant) watch(holder owner.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watched[holder] != nil {
		return
	}
	if a.watched == nil {
		a.watched = make(map[owner.Token]func())
	}
	a.paused.Store(false)
	a.watched[holder] = owner.Watch(a.o.Space.Store(), holder, func() { a.bury(holder) })
}

// bury clears away the claims of a process that is dead. Claims are few: what
// is computed at the moment.
func (a *attendant) bury(holder owner.Token) {
	a.mu.Lock()
	delete(a.watched, holder)
	a.mu.Unlock()
	a.work.Lock()
	defer a.work.Unlock()
	if a.paused.Load() {
		return
	}
	for errs.Has(a.forget(holder), errs.LockTimeout) && !a.paused.Load() {
		// It was a wait. After any other failure who waits looks again in a while,
		// and watches again.
	}
}

// forget removes the claims of a process.
func (a *attendant) forget(holder owner.Token) error {
	return a.o.Space.Update(a.wait(), func(tx *object.Tx) error {
		r := store.Prefix(keys.AppendTag(nil, a.o.Prefix, keys.TagClaim))
		for batch := make([]store.Entry, sweepBatch); ; {
			n, err := tx.Scan(r, batch)
			if err != nil {
				return err
			}
			var theirs [][]byte
			for _, e := range batch[:n] {
				payload, err := keys.OpenPayload(e.Key, e.Value)
				if err == nil && len(payload) == 8 && binary.LittleEndian.Uint64(payload) == uint64(holder) {
					theirs = append(theirs, append([]byte(nil), e.Key...))
				}
			}
			more := n == len(batch)
			if more {
				r = r.Rest(batch[n-1].Key)
			}
			for _, key := range theirs {
				if _, err := tx.Del(key); err != nil {
					return err
				}
				tx.Touch(a.o.Channel())
			}
			if !more {
				return nil
			}
		}
	})
}
